import type { IncomingMessage } from 'node:http'
import type { Digest } from '../core/digest.ts'
import type { CandidatePeer, TransferReport } from '../core/lookup.ts'
import type { Metrics } from '../core/ports.ts'
import type { FlowLimit } from '../selection/flow-limit.ts'
import type { FlowSlot } from '../selection/flow-slot.ts'
import type { Pace } from '../selection/pace.ts'
import type { ChunkGarbage } from './chunk-garbage.ts'
import { type AnswerHead, readAnswerHead } from './peer-answer.ts'
import { discardBody } from './peer-body.ts'
import type { PeerClient } from './peer-client.ts'
import { SlotKeeper } from './slot-keeper.ts'

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
  /** Its reader takes nothing, and its connection went to another request. */
  | { readonly type: 'parked' }
  /** `here`: it was not asked, or not read on, because this node may not get more. */
  | { readonly type: 'busy'; readonly retryAfterMs: number; readonly here: boolean }
  | {
      readonly type: 'failed'
      readonly outcome: TransferReport['outcome']
      readonly reason: string
      readonly status?: number | undefined
    }

export interface FetchDeps {
  readonly peers: Pick<PeerClient, 'open'> & Partial<Pick<PeerClient, 'spare'>>
  readonly downloads?: FlowLimit
  readonly metrics?: Metrics
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
  readonly #peer: CandidatePeer
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
  #slot: SlotKeeper | undefined
  #notSpare = (): void => {}
  /** Numbers the questions for room after a pause; set while one is open. */
  #asking: number | undefined
  #asked = 0
  #bytes = 0
  #over = false

  constructor(question: FetchQuestion, deps: FetchDeps, hooks: FetchHooks) {
    this.#deps = deps
    this.#peer = question.peer
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
    if (this.#over) return
    if (!this.#readerWaits || this.#asking !== undefined) this.#slot?.blocked()
    this.#asking = undefined
    this.#readerWaits = true
    this.#pause()
  }

  resume(): void {
    if (this.#over || this.#asking !== undefined) return
    const room = this.#readerWaits ? (this.#slot?.unblocked() ?? true) : true
    if (room === true) {
      this.#goOn()
      return
    }
    const turn = ++this.#asked
    this.#asking = turn
    void Promise.resolve(room).then((free) => {
      if (this.#over || this.#asking !== turn) return
      this.#asking = undefined
      if (free) this.#goOn()
      else this.#end({ type: 'busy', retryAfterMs: roomRetryMs, here: true })
    })
  }

  #goOn(): void {
    this.#notSpare()
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
    this.#notSpare()
    this.#slot?.free()
  }

  #end(end: FetchEnd): void {
    if (this.#over) return
    this.#close()
    if (end.type !== 'ended') this.#message?.destroy()
    this.#hooks.onEnd(end)
  }

  async #run(question: FetchQuestion): Promise<void> {
    const { peers, downloads } = this.#deps
    const slot = downloads?.take(this.#peer.peerId)
    if (downloads !== undefined && slot === undefined) {
      await Promise.resolve()
      this.#end({ type: 'busy', retryAfterMs: roomRetryMs, here: true })
      return
    }
    if (slot !== undefined) this.#keep(slot)
    const { peer, path, range, digest } = question
    const answer = await peers.open({ peer, method: 'GET', path, range, signal: this.#abort.signal })
    if (this.#over) {
      if (answer.ok) {
        answer.message.on('error', () => {})
        answer.message.destroy()
      }
      return
    }
    if (!answer.ok && answer.crowded === true) {
      this.#end({ type: 'busy', retryAfterMs: roomRetryMs, here: true })
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

  /** A reader that takes nothing keeps neither room nor, where connections are short, its connection. */
  #keep(slot: FlowSlot): void {
    this.#slot = new SlotKeeper(slot, 'download', this.#deps, () => {
      const giveUp = (): void => this.#end({ type: 'parked' })
      this.#notSpare()
      this.#notSpare = this.#deps.peers.spare?.(this.#peer, giveUp) ?? this.#notSpare
    })
  }

  /** Reads on when the bytes that came are paid for. */
  #charge(bytes: number): void {
    const waitMs = this.#deps.downloads?.delayMs(this.#peer.peerId, bytes, this.#now()) ?? 0
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
