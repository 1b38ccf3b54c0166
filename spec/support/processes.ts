import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process'
import { once } from 'node:events'

/**
 * Processes that this process has started and that must not outlive it. They stay in our process group, so that
 * whoever ends the group ends them too.
 */
const owned = new Set<ChildProcess>()

/** Undone in reverse order when this process ends early: interfaces, namespaces, folders. Must be synchronous. */
const undoOnExit = new Set<() => void>()

let installed = false

function installExitHandlers(): void {
  if (installed) return
  installed = true
  process.once('exit', () => {
    for (const child of owned) child.kill('SIGKILL')
    for (const undo of [...undoOnExit].reverse()) {
      try {
        undo()
      } catch (error) {
        process.stderr.write(`clean-up failed: ${String(error)}\n`)
      }
    }
  })
  for (const [signal, code] of [
    ['SIGINT', 130],
    ['SIGTERM', 143],
    ['SIGHUP', 129],
  ] as const) {
    process.once(signal, () => process.exit(code))
  }
}

/** Calls `undo` when this process ends, also by SIGINT and SIGTERM; returns the function that forgets it. */
export function onEarlyExit(undo: () => void): () => void {
  installExitHandlers()
  undoOnExit.add(undo)
  return () => undoOnExit.delete(undo)
}

/** Starts a program that is killed with this process at the latest, and that alone does not keep it running. */
export function startOwned(file: string, args: readonly string[], options: SpawnOptions = {}): ChildProcess {
  installExitHandlers()
  const child = spawn(file, args, options)
  child.unref()
  owned.add(child)
  child.once('exit', () => owned.delete(child))
  child.once('error', () => owned.delete(child))
  return child
}

export function isRunning(child: ChildProcess): boolean {
  return child.pid !== undefined && child.exitCode === null && child.signalCode === null
}

/** Sends a signal and waits until the process has ended; one that has ended already is no error. */
export async function endBy(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (!isRunning(child)) return
  child.ref()
  const ended = once(child, 'exit')
  child.kill(signal)
  // A process that was stopped takes other signals than SIGKILL only when it goes on.
  child.kill('SIGCONT')
  await ended
}

/** SIGTERM, and SIGKILL where that has not ended it within `graceMs`. */
export async function endOwned(child: ChildProcess, graceMs = 10_000): Promise<void> {
  const killer = setTimeout(() => child.kill('SIGKILL'), graceMs)
  await endBy(child, 'SIGTERM')
  clearTimeout(killer)
}

export interface Outcome {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly stdout: string
  readonly stderr: string
}

export interface RunOptions {
  readonly cwd?: string
  readonly env?: NodeJS.ProcessEnv
  readonly input?: string
  readonly timeoutMs?: number
}

/** Runs a program to its end; a program that takes longer than `timeoutMs` is killed. */
export async function runToEnd(
  file: string,
  args: readonly string[],
  options: RunOptions = {},
): Promise<Outcome> {
  const { cwd, env = process.env, input, timeoutMs = 120_000 } = options
  const child = startOwned(file, args, { env, stdio: 'pipe', ...(cwd === undefined ? {} : { cwd }) })
  const chunks: Record<'stdout' | 'stderr', Buffer[]> = { stdout: [], stderr: [] }
  child.stdout?.on('data', (chunk: Buffer) => chunks.stdout.push(chunk))
  child.stderr?.on('data', (chunk: Buffer) => chunks.stderr.push(chunk))
  child.stdin?.on('error', () => {})
  child.stdin?.end(input ?? '')
  const killer = setTimeout(() => child.kill('SIGKILL'), timeoutMs)
  try {
    const [code, signal] = (await once(child, 'close')) as [number | null, NodeJS.Signals | null]
    const text = (name: 'stdout' | 'stderr') => Buffer.concat(chunks[name]).toString('utf8')
    return { code, signal, stdout: text('stdout'), stderr: text('stderr') }
  } finally {
    clearTimeout(killer)
  }
}

/** Like `runToEnd`. @throws Error with what the program printed where it did not end with 0 */
export async function runOrFail(
  file: string,
  args: readonly string[],
  options: RunOptions = {},
): Promise<Outcome> {
  const outcome = await runToEnd(file, args, options)
  if (outcome.code === 0) return outcome
  const how = outcome.code === null ? `was ended by ${outcome.signal}` : `ended with ${outcome.code}`
  throw new Error(`${[file, ...args].join(' ')} ${how}\n${outcome.stderr}${outcome.stdout}`)
}
