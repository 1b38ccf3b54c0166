import { MessageChannel, Worker } from 'node:worker_threads'
import { type ErrorCode, errorCodes, StarlingError } from '../../core/errors.ts'
import type { RegistryControl } from '../../core/lookup.ts'
import type { Logger, Metrics } from '../../core/ports.ts'
import { serveControl } from '../../registry/control-channel.ts'
import type { FromWorker, MetricChange, RegistryWorkerData, ToWorker } from '../../registry/messages.ts'
import { workerEntry } from '../program-files.ts'

const entry = workerEntry('lib/app/registry/worker')

/** A machine on which everything starts at once lets a thread wait long; one that hangs must still end the start. */
const startTimeoutMs = 60_000
/** Beyond its grace period a worker that does not end is ended. */
const extraStopMs = 4000
/** A worker holds no body whole; one that needs more has a defect, and ends alone. */
const maxHeapMb = 128

export interface RegistryThreadHooks {
  readonly control: RegistryControl
  readonly log: Logger
  readonly metrics: Metrics
  /** Called once, when the thread has ended, for whatever reason. */
  readonly onExit: (reason: string) => void
}

/** One worker thread of the registry, from its start to its end. */
export class RegistryThread {
  /** Resolves when it listens. @throws StarlingError */
  readonly listening: Promise<void>
  readonly #worker: Worker
  readonly #exited: Promise<void>

  constructor(data: Omit<RegistryWorkerData, 'controlPort'>, hooks: RegistryThreadHooks) {
    const { port1, port2 } = new MessageChannel()
    const worker = new Worker(entry, {
      workerData: { ...data, controlPort: port2 } satisfies RegistryWorkerData,
      transferList: [port2],
      resourceLimits: { maxOldGenerationSizeMb: maxHeapMb, maxYoungGenerationSizeMb: 4 },
      name: 'starling-registry',
    })
    this.#worker = worker
    const endControl = serveControl(port1, hooks.control, (count) =>
      hooks.metrics.count('starling_request_reports_dropped_total', {}, count),
    )
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const timer = setTimeout(() => {
      reject(new StarlingError('INTERNAL', `a registry worker did not start within ${startTimeoutMs} ms`))
      void worker.terminate()
    }, startTimeoutMs)
    let reason = 'it ended'
    worker.on('message', (message: FromWorker) => {
      if (message.type === 'log') hooks.log[message.level](message.fields, message.message)
      else if (message.type === 'metrics') {
        for (const change of message.changes) applyMetric(hooks.metrics, change)
      } else if (message.type === 'listening') resolve()
      else {
        reason = message.message
        reject(new StarlingError(knownCode(message.code), message.message, { hint: message.hint }))
      }
    })
    worker.on('error', (error: Error) => {
      reason = error.message
    })
    this.listening = promise.finally(() => clearTimeout(timer))
    this.listening.catch(() => {})
    this.#exited = new Promise((done) => {
      worker.once('exit', (code) => {
        endControl()
        reject(new StarlingError('INTERNAL', `a registry worker ended while it started: ${reason}`))
        hooks.onExit(code === 0 ? reason : `${reason} (exit code ${code})`)
        done()
      })
    })
  }

  send(message: ToWorker): void {
    this.#worker.postMessage(message)
  }

  /** Bytes of its heap in use and outside of it; undefined where it does not run. */
  async memory(): Promise<{ readonly heap: number; readonly external: number } | undefined> {
    try {
      const { used_heap_size: heap, external_memory: external } = await this.#worker.getHeapStatistics()
      return { heap, external }
    } catch {
      return undefined
    }
  }

  /** Lets it end by itself, within the grace period and a little more. */
  async stop(graceMs: number): Promise<void> {
    this.send({ type: 'stop', graceMs })
    const timer = setTimeout(() => void this.#worker.terminate(), graceMs + extraStopMs)
    await this.#exited
    clearTimeout(timer)
  }
}

function applyMetric(metrics: Metrics, { kind, name, value, labels }: MetricChange): void {
  if (kind === 'count') metrics.count(name, labels, value)
  else metrics[kind](name, value, labels)
}

function knownCode(code: string | undefined): ErrorCode {
  return code !== undefined && code in errorCodes ? (code as ErrorCode) : 'INTERNAL'
}
