import type { IncomingMessage } from 'node:http'
import type { Digest } from '../core/digest.ts'
import type { CandidatePeer, TransferReport } from '../core/lookup.ts'
import type { FlowLimit } from '../selection/flow-limit.ts'
import type { Pace } from '../selection/pace.ts'
import type { ChunkGarbage } from './chunk-garbage.ts'
import { type AnswerHead, readAnswerHead } from './peer-answer.ts'
import { discardBody } from './peer-body.ts'
import type { PeerClient } from './peer-client.ts'

export interface FetchQuestion {
  readonly digest: Digest
  readonly path: string
  readonly peer: CandidatePeer
  /** Value of the `Range` header. */
  readonly range: string | undefined
}

export type FetchEnd =
  | { readonly type: 'ended' }
  | { readonly type: 'unsatisfiable'; readonly sizeBytes: number }
  /** `here`: it was not asked, because this node may not get more. */
  | { readonly type: 'busy'; readonly retryAfterMs: number; readonly here: boolean }
  | {
      readonly type: 'failed'
      readonly outcome: TransferReport['outcome']
      readonly reason: string
      readonly status?: number | undefined
    }

export interface FetchDeps {
  readonly peers: Pick<PeerClient, 'open'>
  readonly downloads?: FlowLimit
  /** Hears of what comes; absent: V8 is left to itself. */
  readonly garbage?: Pick<ChunkGarbage, 'received'>
  /** Monotonic milliseconds. */
  readonly now: () => number
}

export interface FetchHooks {
  onHead(head: Extract<AnswerHead, { type: 'body' }>): void
  onChunk(chunk: Buffer): void
  /** Called once, unless the fetch was cancelled. */
  onEnd(end: FetchEnd): void
}

const maxRetryAfterMs = 5000
/** How soon room for a further request is looked for. */
const roomRetryMs = 250

/** One request for bytes to one peer, from its start to its end. */
export class PeerFetch {
  readonly #deps: FetchDeps
  readonly #peer: string
  readonly #now: () => number
  readonly #hooks: FetchHooks
  readonly #abort = new AbortController()
  readonly #startedMs: number
  #message: IncomingMessage | undefined
  #openedMs: number | undefined
  #quietSinceMs: number
  #pausedMs = 0
  #pausedSinceMs: number | undefined
  #readerWaits = false
  #rateTimer: NodeJS.Timeout | undefined
  #free = (): void => {}
  #bytes = 0
  #over = false

  constructor(question: FetchQuestion, deps: FetchDeps, hooks: FetchHooks) {
    this.#deps = deps
    this.#peer = question.peer.peerId
    this.#now = deps.now
    this.#hooks = hooks
    this.#startedMs = this.#quietSinceMs = deps.now()
    void this.#run(question)
  }

  get over(): boolean {
    return this.#over
  }

  get paused(): boolean {
    return this.#pausedSinceMs !== undefined
  }

  get pace(): Pace {
    const now = this.#now()
    const pausedMs = this.#pausedMs + (this.#pausedSinceMs === undefined ? 0 : now - this.#pausedSinceMs)
    return {
      ageMs: now - this.#startedMs,
      opened: this.#openedMs !== undefined,
      bytes: this.#bytes,
      readMs: now - (this.#openedMs ?? now) - pausedMs,
      quietMs: this.#pausedSinceMs === undefined ? now - this.#quietSinceMs : 0,
    }
  }

  pause(): void {
    this.#readerWaits = true
    this.#pause()
  }

  resume(): void {
    this.#readerWaits = false
    this.#resume()
  }

  #pause(): void {
    if (this.#over || this.#pausedSinceMs !== undefined) return
    this.#pausedSinceMs = this.#now()
    this.#message?.pause()
  }

  #resume(): void {
    if (this.#pausedSinceMs === undefined || this.#readerWaits || this.#rateTimer !== undefined) return
    this.#quietSinceMs = this.#now()
    this.#pausedMs += this.#quietSinceMs - this.#pausedSinceMs
    this.#pausedSinceMs = undefined
    this.#message?.resume()
  }

  /** Frees the connection at once; no hook is called any more. */
  cancel(): void {
    if (this.#over) return
    this.#close()
    this.#abort.abort()
    this.#message?.destroy()
  }

  #close(): void {
    this.#over = true
    clearTimeout(this.#rateTimer)
    this.#free()
  }

  #end(end: FetchEnd): void {
    if (this.#over) return
    this.#close()
    if (end.type === 'failed') this.#message?.destroy()
    this.#hooks.onEnd(end)
  }

  async #run(question: FetchQuestion): Promise<void> {
    const { peers, downloads } = this.#deps
    const free = downloads === undefined ? () => {} : downloads.take(this.#peer)
    if (free === undefined) {
      await Promise.resolve()
      this.#end({ type: 'busy', retryAfterMs: roomRetryMs, here: true })
      return
    }
    this.#free = free
    const { peer, path, range, digest } = question
    const answer = await peers.open({ peer, method: 'GET', path, range, signal: this.#abort.signal })
    if (this.#over) {
      if (answer.ok) {
        answer.message.on('error', () => {})
        answer.message.destroy()
      }
      return
    }
    if (!answer.ok) {
      this.#end({ type: 'failed', outcome: answer.outcome, reason: answer.reason })
      return
    }
    const { message } = answer
    const { statusCode: status, headers } = message
    const head = readAnswerHead(status, headers, { ranged: range !== undefined, digest })
    if (head.type === 'body') {
      this.#read(message, head)
      return
    }
    discardBody(message)
    if (head.type === 'unsatisfiable') this.#end(head)
    else if (status === 429 && headers['retry-after'] !== undefined) {
      this.#end({ type: 'busy', retryAfterMs: retryAfterMs(headers['retry-after']), here: false })
    } else this.#end({ type: 'failed', outcome: 'refused', reason: head.reason, status })
  }

  /** Reads on when the bytes that came are paid for. */
  #charge(bytes: number): void {
    const waitMs = this.#deps.downloads?.delayMs(this.#peer, bytes, this.#now()) ?? 0
    if (waitMs === 0 || this.#rateTimer !== undefined) return
    this.#rateTimer = setTimeout(() => {
      this.#rateTimer = undefined
      this.#resume()
    }, waitMs)
    this.#pause()
  }

  #read(message: IncomingMessage, head: Extract<AnswerHead, { type: 'body' }>): void {
    this.#message = message
    this.#openedMs = this.#quietSinceMs = this.#now()
    const broken = (): void => this.#end({ type: 'failed', outcome: 'broken', reason: 'the body broke off' })
    message.on('error', broken)
    message.on('close', broken)
    this.#hooks.onHead(head)
    if (this.#over) return
    message.on('data', (chunk: Buffer) => {
      if (this.#over) return
      this.#deps.garbage?.received(chunk.length)
      this.#bytes += chunk.length
      this.#quietSinceMs = this.#now()
      this.#charge(chunk.length)
      this.#hooks.onChunk(chunk)
    })
    message.on('end', () => (message.complete ? this.#end({ type: 'ended' }) : broken()))
    if (this.paused) message.pause()
  }
}

/** `Retry-After` in seconds (RFC 9110 §10.2.3), within bounds. */
function retryAfterMs(header: string): number {
  const seconds = Number(header)
  return Number.isFinite(seconds) && seconds > 0 ? Math.min(seconds * 1000, maxRetryAfterMs) : 1000
}
