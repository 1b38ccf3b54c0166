import { pino } from 'pino'
import type { NodeConfig } from '../core/config.ts'
import type { Logger } from '../core/ports.ts'
import { safeLogFields } from './log-fields.ts'

/** Lines that wait when whoever reads standard error has stopped; more are dropped, oldest kept. */
const maxWaitingSizeBytes = 4 * 1024 * 1024

const settleMs = 20

export interface RootLogger extends Logger {
  /** Writes what still waits before it returns; also done when the process ends. */
  flush(): void
}

/**
 * Logs JSON lines to a file descriptor, standard error unless said otherwise. Writing never blocks the main thread:
 * heartbeats must not wait for a log reader.
 */
export function createLogger(options: { level: NodeConfig['log']['level']; fd?: number }): RootLogger {
  const destination = pino.destination({
    dest: options.fd ?? 2,
    sync: false,
    minLength: 0,
    maxLength: maxWaitingSizeBytes,
  })
  // Without a listener a reader that went away (EPIPE) would end the process.
  destination.on('error', () => {})
  const root = pino(
    {
      level: options.level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      // Errors are one line by then; the serializer of pino would make a stack of them.
      serializers: { err: (value: unknown) => value },
      formatters: {
        level: (label) => ({ level: label }),
        log: (fields) => safeLogFields(fields),
      },
    },
    destination,
  )
  let dropped = 0
  destination.on('drop', () => {
    dropped += 1
  })
  destination.on('drain', () => {
    if (dropped === 0) return
    const lines = dropped
    dropped = 0
    root.warn({ lines }, 'log lines were dropped because nobody read them')
  })
  const flush = () => {
    // A write that is under way in a thread ends meanwhile; what is written below would overtake it.
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, settleMs)
    try {
      destination.flushSync()
    } catch {
      // Not opened yet or closed already: there is nowhere to say it.
    }
  }
  process.once('exit', flush)
  return Object.assign(wrap(root), { flush })
}

function wrap(logger: pino.Logger): Logger {
  return {
    debug: (fields, message) => logger.debug(fields, message),
    info: (fields, message) => logger.info(fields, message),
    warn: (fields, message) => logger.warn(fields, message),
    error: (fields, message) => logger.error(fields, message),
    child: (fields) => wrap(logger.child(safeLogFields(fields))),
  }
}
