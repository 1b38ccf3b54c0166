import type { MessagePort } from 'node:worker_threads'
import type { Digest } from '../core/digest.ts'
import { describeError, StarlingError } from '../core/errors.ts'
import type {
  FlightNote,
  ListAnswer,
  ListQuery,
  LookupAnswer,
  LookupQuery,
  RegistryControl,
  RequestReport,
} from '../core/lookup.ts'
import type { PeerId } from '../core/peer-id.ts'
import { MessageBatch } from './message-batch.ts'

type Question =
  | { readonly ask: 'lookup'; readonly id: number; readonly query: LookupQuery }
  | { readonly ask: 'list'; readonly id: number; readonly query: ListQuery }
  | { readonly ask: 'flight'; readonly id: number; readonly query: FlightNote }

type Notice =
  | { readonly tell: 'transferStarted'; readonly value: Parameters<Started>[0] }
  | { readonly tell: 'transferred'; readonly value: Parameters<RegistryControl['transferred']>[0] }
  | { readonly tell: 'missing'; readonly value: Parameters<RegistryControl['missing']>[0] }
  | { readonly tell: 'damaged'; readonly value: Digest }
  | { readonly tell: 'unmapped'; readonly value: Digest }
  | { readonly tell: 'requested'; readonly values: readonly RequestReport[]; readonly dropped: number }

type Started = NonNullable<RegistryControl['transferStarted']>

type Answer =
  | { readonly id: number; readonly answer: LookupAnswer | ListAnswer | 'alive' | 'lost' }
  | { readonly id: number; readonly error: string }
  | { readonly requestsRead: number }

/** Request reports that may be on their way before further ones are dropped, and how many one receipt stands for. */
const maxUnreadReports = 4096
const reportsPerReceipt = 64

export interface ControlClientOptions {
  /** @throws StarlingError INTERNAL from `lookup` and `list` when there is no answer for this long */
  readonly timeoutMs: number
  /** The same for look-ups that claim a blob: they look at the store and ask another node, and without an answer a copy comes from upstream. */
  readonly claimTimeoutMs?: number
  /** Questions without an answer; further ones fail at once. */
  readonly maxInFlight: number
}

export interface ControlClient extends RegistryControl {
  transferStarted: Started
  close(): void
}

interface Waiting {
  readonly resolve: (answer: never) => void
  readonly reject: (error: Error) => void
  readonly timer: NodeJS.Timeout
}

/**
 * The control plane as a worker sees it, over a MessagePort. Bounded: questions by `maxInFlight`, reports of transfers by
 * the questions before them, reports of requests by receipts.
 */
export function createControlClient(port: MessagePort, options: ControlClientOptions): ControlClient {
  const waiting = new Map<number, Waiting>()
  let nextId = 1
  let unread = 0
  let dropped = 0

  port.on('message', (message: Answer) => {
    if ('requestsRead' in message) {
      unread -= message.requestsRead
      return
    }
    const entry = waiting.get(message.id)
    if (entry === undefined) return
    waiting.delete(message.id)
    clearTimeout(entry.timer)
    if ('error' in message) entry.reject(new StarlingError('INTERNAL', message.error))
    else entry.resolve(message.answer as never)
  })

  function ask<T>(question: (id: number) => Question, timeoutMs = options.timeoutMs): Promise<T> {
    if (waiting.size >= options.maxInFlight) {
      return Promise.reject(new StarlingError('INTERNAL', 'too many look-ups wait for the control plane'))
    }
    const id = nextId++
    return new Promise<T>((resolve, reject) => {
      const timer = setTimeout(() => {
        waiting.delete(id)
        const seconds = timeoutMs / 1000
        reject(new StarlingError('INTERNAL', `the control plane gave no answer within ${seconds} s`))
      }, timeoutMs)
      waiting.set(id, { resolve, reject, timer })
      port.postMessage(question(id))
    })
  }

  const reports = new MessageBatch<RequestReport>((values) => {
    port.postMessage({ tell: 'requested', values, dropped } satisfies Notice)
    dropped = 0
  })

  /** What was said before arrives before it. */
  function tell(notice: Notice): void {
    reports.flush()
    port.postMessage(notice)
  }

  return {
    lookup: (query) =>
      ask<LookupAnswer>(
        (id) => ({ ask: 'lookup', id, query }),
        query.claim === undefined ? options.timeoutMs : options.claimTimeoutMs,
      ),
    list: (query) => ask<ListAnswer>((id) => ({ ask: 'list', id, query })),
    flight: (query) => ask<'alive' | 'lost'>((id) => ({ ask: 'flight', id, query })),
    transferStarted: (value) => tell({ tell: 'transferStarted', value }),
    transferred: (value) => tell({ tell: 'transferred', value }),
    missing: (value) => tell({ tell: 'missing', value }),
    damaged: (value) => tell({ tell: 'damaged', value }),
    unmapped: (value) => tell({ tell: 'unmapped', value }),
    requested(value) {
      if (unread >= maxUnreadReports) {
        dropped++
        return
      }
      unread++
      reports.push(value)
      // Its client asks for it at once.
      if (value.id !== undefined) reports.flush()
    },
    close() {
      reports.flush()
      port.close()
      for (const { reject, timer } of waiting.values()) {
        clearTimeout(timer)
        reject(new StarlingError('INTERNAL', 'the channel to the control plane is closed'))
      }
      waiting.clear()
    },
  }
}

/**
 * Answers the questions of one worker. `onDropped` hears how many request reports the worker could not send.
 * Returns the function that ends it; transfers that a crashed worker can't end any more are ended by it as cancelled.
 */
export function serveControl(
  port: MessagePort,
  control: RegistryControl,
  onDropped: (count: number) => void = () => {},
): () => void {
  const running = new Map<PeerId, number>()
  let read = 0
  let closed = false

  function countRunning(peerId: PeerId, change: number): void {
    const count = (running.get(peerId) ?? 0) + change
    if (count > 0) running.set(peerId, count)
    else running.delete(peerId)
  }

  async function find(question: Question): Promise<LookupAnswer | ListAnswer | 'alive' | 'lost'> {
    if (question.ask === 'lookup') return control.lookup(question.query)
    if (question.ask === 'list') return control.list(question.query)
    return (await control.flight?.(question.query)) ?? 'lost'
  }

  async function answer(question: Question): Promise<void> {
    const { id } = question
    try {
      port.postMessage({ id, answer: await find(question) } satisfies Answer)
    } catch (error) {
      port.postMessage({ id, error: describeError(error) } satisfies Answer)
    }
  }

  port.on('message', (message: Question | Notice) => {
    if ('ask' in message) void answer(message)
    else if (message.tell === 'transferStarted') {
      countRunning(message.value, 1)
      control.transferStarted?.(message.value)
    } else if (message.tell === 'transferred') {
      countRunning(message.value.peerId, -1)
      control.transferred(message.value)
    } else if (message.tell === 'missing') control.missing(message.value)
    else if (message.tell === 'damaged') control.damaged?.(message.value)
    else if (message.tell === 'unmapped') control.unmapped?.(message.value)
    else {
      if (message.dropped > 0) onDropped(message.dropped)
      for (const report of message.values) control.requested(report)
      read += message.values.length
      if (read >= reportsPerReceipt) {
        port.postMessage({ requestsRead: read } satisfies Answer)
        read = 0
      }
    }
  })
  return () => {
    if (closed) return
    closed = true
    port.close()
    for (const [peerId, count] of running) {
      for (let index = 0; index < count; index++) {
        control.transferred({ peerId, outcome: 'cancelled', bytes: 0, firstByteMs: undefined, durationMs: 0 })
      }
    }
    running.clear()
  }
}
