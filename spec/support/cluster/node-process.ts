import type { ChildProcess } from 'node:child_process'
import { closeSync, openSync, readFileSync } from 'node:fs'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { stringify } from 'yaml'
import { eventually } from '../eventually.ts'
import { endBy, endOwned, isRunning, type Outcome, runToEnd, startOwned } from '../processes.ts'
import { nodeVariables } from '../project.ts'
import type { ClusterNetwork } from './network.ts'
import { opsGet, opsJson } from './ops-client.ts'
import { type ClientTls, type Fetched, type FetchOptions, fetchRegistry } from './registry-client.ts'

/** A line of a node's log: pino's JSON. */
export interface LogLine {
  readonly level: string
  /** ISO 8601 in UTC. */
  readonly time: string
  readonly msg: string
  readonly [field: string]: unknown
}

export interface NodeSetup {
  readonly index: number
  readonly name: string
  /** Everything of this node is in here. */
  readonly dir: string
  readonly trustDir: string
  readonly network: ClusterNetwork
  readonly registryPort: number
  /** bin/starling.ts, or the built one. */
  readonly bin: string
  /** Flags of Node itself. */
  readonly nodeFlags: readonly string[]
  /** Default: agent. */
  readonly role?: 'agent' | 'server'
  /** The configuration that is written to config.yaml. */
  readonly config: Readonly<Record<string, unknown>>
  /** The text of registries.yaml. */
  readonly registries: string
}

/** One node of a test cluster, a process of its own. */
export class ClusterNode {
  readonly index: number
  readonly name: string
  readonly dir: string
  readonly trustDir: string
  readonly address: string
  /** `https://address:port` */
  readonly registryUrl: string
  readonly opsSocket: string
  readonly configFile: string
  readonly registriesFile: string
  readonly logFile: string
  readonly #setup: NodeSetup
  #child: ChildProcess | undefined

  constructor(setup: NodeSetup) {
    this.#setup = setup
    this.index = setup.index
    this.name = setup.name
    this.dir = setup.dir
    this.trustDir = setup.trustDir
    this.address = setup.network.addressOf(setup.index)
    this.registryUrl = `https://${this.address}:${setup.registryPort}`
    this.opsSocket = join(setup.dir, 'ops.sock')
    this.configFile = join(setup.dir, 'config.yaml')
    this.registriesFile = join(setup.dir, 'registries.yaml')
    this.logFile = join(setup.dir, 'log.jsonl')
  }

  get pid(): number | undefined {
    return this.running ? this.#child?.pid : undefined
  }

  get running(): boolean {
    return this.#child !== undefined && isRunning(this.#child)
  }

  async writeFiles(): Promise<void> {
    await mkdir(this.dir, { recursive: true })
    await writeFile(this.configFile, stringify(this.#setup.config))
    await writeFile(this.registriesFile, this.#setup.registries)
  }

  /** Starts the process and does not wait. Its log is appended to. */
  launch(): void {
    if (this.running) throw new Error(`${this.name} runs already`)
    const log = openSync(this.logFile, 'a')
    const agent = [
      ...this.#setup.nodeFlags,
      this.#setup.bin,
      this.#setup.role ?? 'agent',
      '--config',
      this.configFile,
    ]
    const [file, ...args] = this.#setup.network.commandFor(this.index, process.execPath, agent)
    const env = { ...process.env, ...Object.fromEntries(nodeVariables().map((text) => text.split('='))) }
    this.#child = startOwned(file, args, { stdio: ['ignore', log, log], cwd: this.dir, env })
    closeSync(log)
  }

  /** Starts the process and waits until it says that it is ready. */
  async start(timeoutMs = 30_000): Promise<void> {
    this.launch()
    await this.waitReady(timeoutMs)
  }

  /** `intervalMs`: many nodes that start on few cores had better be asked rarely. */
  async waitReady(timeoutMs = 30_000, intervalMs = 50): Promise<void> {
    await this.#wait(
      'readiness',
      { timeoutMs, intervalMs },
      async () => (await opsGet(this.opsSocket, '/readyz')).status === 200,
    )
  }

  /** Waits for a condition of this node; an error shows the end of its log. It fails at once when the process ends. */
  async #wait(
    what: string,
    times: { readonly timeoutMs: number; readonly intervalMs: number },
    check: () => Promise<boolean>,
  ): Promise<void> {
    let ended = false
    try {
      await eventually(
        async () => {
          ended = !this.running
          return ended || (await check())
        },
        { ...times, what: `${what} of ${this.name}` },
      )
    } catch (error) {
      throw new Error(`${String(error)}\n${this.logTail()}`, { cause: error })
    }
    if (ended) {
      const how = this.#child?.signalCode ?? `exit code ${this.#child?.exitCode}`
      throw new Error(`${this.name} ended by itself (${how})\n${this.logTail()}`)
    }
  }

  /** SIGTERM, and the end of the process. Returns its exit code. */
  async stop(graceMs = 30_000): Promise<number | null> {
    const child = this.#child
    if (child === undefined) return null
    await endOwned(child, graceMs)
    return child.exitCode
  }

  /** SIGKILL, and the end of the process. */
  async kill(): Promise<void> {
    if (this.#child !== undefined) await endBy(this.#child, 'SIGKILL')
  }

  /** SIGHUP: the files are looked at now. */
  reload(): void {
    this.#child?.kill('SIGHUP')
  }

  pause(): void {
    this.#child?.kill('SIGSTOP')
  }

  resume(): void {
    this.#child?.kill('SIGCONT')
  }

  /** The JSON of `GET /api/v1/<path>`; types are in lib/core/ops-view.ts. */
  ops<T>(path: string): Promise<T> {
    return opsJson<T>(this.opsSocket, path)
  }

  /** The value of a metric, summed over all label sets that contain `labels`; undefined where it isn't there. */
  async metric(name: string, labels = ''): Promise<number | undefined> {
    const { body } = await opsGet(this.opsSocket, '/api/v1/metrics')
    const values = body
      .split('\n')
      .filter((line) => line.startsWith(`${name}{`) || line.startsWith(`${name} `))
      .filter((line) => line.includes(labels))
      .map((line) => Number(line.slice(line.lastIndexOf(' '))))
    return values.length === 0 ? undefined : values.reduce((sum, value) => sum + value, 0)
  }

  /** Runs `starling <args>` against this node's ops socket. */
  cli(...args: readonly string[]): Promise<Outcome> {
    return runToEnd(process.execPath, [this.#setup.bin, ...args, '--socket', this.opsSocket], {
      timeoutMs: 20_000,
    })
  }

  /** What a client on this node shows to registries: the client certificate, as containerd does. */
  async clientTls(): Promise<ClientTls> {
    const [ca, cert, key] = await Promise.all(
      ['server-ca.crt', 'client.crt', 'client.key'].map((file) =>
        readFile(join(this.trustDir, file), 'utf8'),
      ),
    )
    return { ca: ca ?? '', cert: cert ?? '', key: key ?? '' }
  }

  /** One request to this node's registry port with its own client certificate. `path` begins with `/v2/`. */
  async fetch(path: string, options: FetchOptions = {}): Promise<Fetched> {
    return fetchRegistry(new URL(path, this.registryUrl), await this.clientTls(), options)
  }

  /** The log so far. Lines that are no JSON (a crash) come as `msg` of level `fatal`. */
  logs(): LogLine[] {
    return this.#logText()
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => {
        try {
          return JSON.parse(line) as LogLine
        } catch {
          return { level: 'fatal', time: '', msg: line }
        }
      })
  }

  logTail(lines = 40): string {
    const tail = this.#logText().trimEnd().split('\n').slice(-lines)
    return `--- end of the log of ${this.name}\n${tail.join('\n')}\n---`
  }

  #logText(): string {
    try {
      return readFileSync(this.logFile, 'utf8')
    } catch {
      return ''
    }
  }
}
