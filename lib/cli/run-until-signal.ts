import { constants } from 'node:os'
import type { RootLogger } from '../app/logger.ts'
import { describeError, StarlingError } from '../core/errors.ts'

/** Time for the end beyond `shutdownGrace`, before the process ends by itself. */
const marginMs = 5000

export interface RunOptions {
  readonly log: RootLogger
  readonly graceMs: number
  /** `signal` aborts when the node is to end before it has started. */
  readonly start: (signal: AbortSignal) => Promise<{ stop(): Promise<void>; reload?(): Promise<void> }>
  readonly exitCodeOf: (error: unknown) => number
}

/** The line of the code that threw: enough to find a defect, in one line of the log. */
function firstFrame(error: unknown): string | undefined {
  const stack = error instanceof Error ? error.stack : undefined
  return /^\s+at (.*)$/m.exec(stack ?? '')?.[1]
}

/**
 * Starts something, waits for SIGTERM or SIGINT and stops it; returns the exit code of the process. A second signal ends the
 * process at once, and so does an error that nobody caught.
 */
export async function runUntilSignal(options: RunOptions): Promise<number> {
  const { log } = options
  const exitNow = (code: number): never => {
    log.flush()
    process.exit(code)
  }
  const onUncaught = (error: unknown) => {
    log.error({ error, at: firstFrame(error) }, 'unexpected error, the node ends')
    exitNow(1)
  }
  process.on('uncaughtException', onUncaught)
  process.on('unhandledRejection', onUncaught)
  let reload: (() => Promise<void>) | undefined
  process.on('SIGHUP', () => {
    log.info({}, 'SIGHUP: the files are looked at')
    void reload?.()
  })

  const ending = new AbortController()
  const asked = new Promise<void>((resolve) => {
    let signals = 0
    const onSignal = (signal: 'SIGTERM' | 'SIGINT') => {
      signals += 1
      if (signals > 1) {
        log.warn({ signal }, 'second signal, the node ends at once')
        exitNow(128 + constants.signals[signal])
      }
      log.info({ signal }, 'the node stops')
      ending.abort()
      setTimeout(() => {
        log.error({}, 'the node did not stop in time and is ended')
        exitNow(1)
      }, options.graceMs + marginMs).unref()
      resolve()
    }
    process.on('SIGTERM', onSignal)
    process.on('SIGINT', onSignal)
  })
  // Nothing else may hold the event loop open while the node waits to be started or stopped.
  const alive = setInterval(() => {}, 2 ** 30)
  try {
    const node = await options.start(ending.signal)
    reload = () => node.reload?.() ?? Promise.resolve()
    await asked
    await node.stop()
    log.info({}, 'the node has stopped')
    return 0
  } catch (error) {
    if (ending.signal.aborted) {
      log.info({ reason: describeError(error) }, 'the node has stopped before it had started')
      return 0
    }
    const code = error instanceof StarlingError ? error.code : 'INTERNAL'
    const at = code === 'INTERNAL' ? { at: firstFrame(error) } : {}
    log.error({ code, reason: describeError(error), ...at }, 'the node cannot run')
    return options.exitCodeOf(error)
  } finally {
    clearInterval(alive)
  }
}
