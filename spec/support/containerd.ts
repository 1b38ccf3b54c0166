import { type ChildProcess, execFile, execFileSync } from 'node:child_process'
import { closeSync, openSync } from 'node:fs'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { eventually } from './eventually.ts'
import { endBy, endOwned, startOwned } from './processes.ts'

const run = promisify(execFile)

export interface CancellablePull {
  /** Rejects where it fails, or is cancelled. */
  readonly done: Promise<string>
  /** Ends the client and lets go of what it had leased, as a client that is not killed does itself. */
  cancel(): Promise<void>
}

/** A private containerd: own root, state and sockets in one folder. */
export interface TestContainerd {
  readonly socket: string
  readonly root: string
  readonly contentPath: string
  /** Runs `ctr` against it, in namespace `k8s.io` unless `--namespace` is among the arguments; resolves to its output. */
  ctr(...args: readonly string[]): Promise<string>
  /** `ctr images pull` through the hosts.toml files of `certsDir`. */
  pull(reference: string, ...args: readonly string[]): Promise<string>
  /** A pull whose client can be ended in the middle of it, as that of a pod that is deleted; what it downloaded goes with it. */
  startPull(reference: string): CancellablePull
  /** Id of the running process; undefined while it is stopped. */
  pid(): number | undefined
  /** SIGSTOP: what it downloads stands still, and holds back whoever sends it. */
  pause(): void
  /** SIGCONT. */
  resume(): void
  /** Ends it by SIGTERM. */
  stop(): Promise<void>
  /** Ends it by SIGKILL. */
  kill(): Promise<void>
  /** Starts it again; ends it first if it runs. */
  restart(): Promise<void>
}

/** Why tests with a real containerd must be skipped, or undefined where they can run. */
export function containerdAvailable(): string | undefined {
  if (process.platform !== 'linux') return 'containerd needs Linux'
  if (process.getuid?.() !== 0) return 'containerd needs root'
  for (const command of ['containerd', 'ctr']) {
    try {
      execFileSync(command, ['--version'], { stdio: 'ignore' })
    } catch {
      return `${command} is not installed`
    }
  }
  return undefined
}

/** Version of the containerd on this machine as [major, minor]. */
export function containerdVersion(): readonly [number, number] {
  const text = execFileSync('containerd', ['--version'], { encoding: 'utf8' })
  const match = /\bv?(\d+)\.(\d+)\./.exec(text)
  return [Number(match?.[1] ?? 0), Number(match?.[2] ?? 0)]
}

const commandTimeoutMs = 120_000
const criPlugin = 'io.containerd.grpc.v1.cri'

// None of the snapshotters that probe the machine; `native` needs no mounts of its own.
const disabledPlugins = [
  'io.containerd.snapshotter.v1.aufs',
  'io.containerd.snapshotter.v1.btrfs',
  'io.containerd.snapshotter.v1.devmapper',
  'io.containerd.snapshotter.v1.zfs',
  'io.containerd.tracing.processor.v1.otlp',
  'io.containerd.internal.v1.tracing',
]

export interface CriOptions {
  /** The image that the first container of each pod is made of. */
  readonly sandboxImage?: string
  /** The folder of hosts.toml files for what it pulls. */
  readonly certsDir?: string
}

/** CRI that touches nothing outside `dir`, and needs no more capabilities than root in a container has. */
function criText(dir: string, { sandboxImage, certsDir }: CriOptions): string[] {
  const table = (name: string) => `[plugins."${criPlugin}"${name}]`
  return [
    table(''),
    ...(sandboxImage === undefined ? [] : [`sandbox_image = "${sandboxImage}"`]),
    'restrict_oom_score_adj = true',
    'stream_server_address = "127.0.0.1"',
    'stream_server_port = "0"',
    table('.cni'),
    `conf_dir = "${join(dir, 'cni')}"`,
    table('.containerd'),
    'snapshotter = "native"',
    ...(certsDir === undefined ? [] : [table('.registry'), `config_path = "${certsDir}"`]),
  ]
}

function configText(dir: string, root: string, socket: string, cri: CriOptions | undefined): string {
  return [
    'version = 2',
    `root = "${root}"`,
    `state = "${join(dir, 'state')}"`,
    `disabled_plugins = ${JSON.stringify(cri === undefined ? [criPlugin, ...disabledPlugins] : disabledPlugins)}`,
    '[grpc]',
    `address = "${socket}"`,
    '[ttrpc]',
    `address = "${socket}.ttrpc"`,
    `[plugins."io.containerd.internal.v1.opt"]`,
    `path = "${join(dir, 'opt')}"`,
    ...(cri === undefined ? [] : criText(dir, cri)),
    '',
  ].join('\n')
}

/**
 * Starts a containerd that keeps everything in `dir` and waits until it answers. `certsDir` is the folder of
 * hosts.toml files for `pull`; `env` adds variables for containerd and `ctr`, such as `HTTPS_PROXY` (which of the two
 * talks to registries depends on the version); `cri` lets it serve the kubelet's API, too. A socket path may have at most some 100 characters: keep `dir` short.
 */
export async function startContainerd(options: {
  dir: string
  certsDir?: string
  env?: Readonly<Record<string, string>>
  /** The command that runs a program where its network is; default here. */
  inside?: (file: string, args: readonly string[]) => readonly [string, ...string[]]
  cri?: CriOptions
  /** A pull that takes longer is killed. */
  pullTimeoutMs?: number
}): Promise<TestContainerd> {
  const { dir, certsDir, inside = (file, args) => [file, ...args] as const } = options
  const { pullTimeoutMs = commandTimeoutMs } = options
  const env = { ...process.env, ...options.env }
  const root = join(dir, 'root')
  const socket = join(dir, 'containerd.sock')
  const configFile = join(dir, 'config.toml')
  const logFile = join(dir, 'containerd.log')
  await mkdir(dir, { recursive: true })
  await writeFile(configFile, configText(dir, root, socket, options.cri))
  let child: ChildProcess | undefined

  const ctr = (...args: readonly string[]): Promise<string> => ctrUntil(undefined, args)

  const ctrUntil = async (
    signal: AbortSignal | undefined,
    args: readonly string[],
    timeout = commandTimeoutMs,
  ): Promise<string> => {
    const namespace = args.some((arg) => arg === '-n' || arg.startsWith('--namespace'))
      ? []
      : ['--namespace', 'k8s.io']
    const [file, ...words] = inside('ctr', ['--address', socket, ...namespace, ...args])
    const { stdout } = await run(file, words, {
      maxBuffer: 2 ** 26,
      timeout,
      env,
      killSignal: 'SIGKILL',
      ...(signal === undefined ? {} : { signal }),
    })
    return stdout
  }

  const launch = async (): Promise<void> => {
    const log = openSync(logFile, 'a')
    const [file, ...words] = inside('containerd', ['--config', configFile, '--log-level', 'info'])
    const started = startOwned(file, words, {
      stdio: ['ignore', 'ignore', log],
      env,
    })
    closeSync(log)
    child = started
    started.on('exit', () => {
      if (child === started) child = undefined
    })
    try {
      await eventually(
        async () => {
          if (child === undefined) throw new Error('containerd ended at once')
          await ctr('version')
          return true
        },
        { timeoutMs: 20_000, intervalMs: 50, what: 'containerd answers' },
      )
    } catch (error) {
      await end('SIGKILL')
      const tail = (await readFile(logFile, 'utf8').catch(() => '')).slice(-2000)
      throw new Error(`containerd did not start:\n${tail}`, { cause: error })
    }
  }

  const end = async (signal: 'SIGTERM' | 'SIGKILL'): Promise<void> => {
    if (child === undefined) return
    await (signal === 'SIGKILL' ? endBy(child, signal) : endOwned(child))
  }

  const pullWords = (reference: string, args: readonly string[]): string[] => {
    const hosts = certsDir === undefined ? [] : ['--hosts-dir', certsDir]
    return ['images', 'pull', ...hosts, '--snapshotter', 'native', ...args, reference]
  }

  await launch()
  return {
    socket,
    root,
    contentPath: join(root, 'io.containerd.content.v1.content'),
    ctr,
    pull: (reference, ...args) => ctrUntil(undefined, pullWords(reference, args), pullTimeoutMs),
    startPull(reference) {
      const ended = new AbortController()
      const done = ctrUntil(ended.signal, pullWords(reference, []), pullTimeoutMs)
      const cancel = async (): Promise<void> => {
        ended.abort()
        await done.catch(() => {})
        for (const lease of (await ctr('leases', 'ls', '-q')).split('\n').filter((id) => id !== ''))
          await ctr('leases', 'rm', '--sync', lease)
      }
      return { done, cancel }
    },
    pid: () => child?.pid,
    pause: () => void child?.kill('SIGSTOP'),
    resume: () => void child?.kill('SIGCONT'),
    stop: () => end('SIGTERM'),
    kill: () => end('SIGKILL'),
    async restart() {
      await end('SIGTERM')
      await launch()
    },
  }
}
