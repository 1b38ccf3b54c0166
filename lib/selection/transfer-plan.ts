import type { Candidate } from '../core/lookup.ts'

/** What a client wants of a body whose size may not be known yet: bytes from `start` to `end` included, or the last ones. */
export type WantedBytes =
  | { readonly kind: 'span'; readonly start: number; readonly end: number | undefined }
  | { readonly kind: 'suffix'; readonly length: number }

/**
 * All of a body, without a range; told from others by identity, for `bytes=0-` is a range: its answer is 206, and 416 where
 * the body has no byte (RFC 9110 §14.1.2).
 */
export const wholeBody: WantedBytes = { kind: 'span', start: 0, end: undefined }

export type TransferEvent =
  | { readonly type: 'start' }
  /** The source asked last begins to answer: it will send `start` to `end` of a body of `sizeBytes`. */
  | { readonly type: 'opened'; readonly sizeBytes: number; readonly start: number; readonly end: number }
  | { readonly type: 'received'; readonly bytes: number }
  /** Its answer has ended, whether with all the bytes or not. */
  | { readonly type: 'ended' }
  /** It refused, broke, stalled or answered something that does not fit. */
  | { readonly type: 'failed' }
  /** It says that the body, of `sizeBytes`, has none of the wanted bytes. */
  | { readonly type: 'unsatisfiable'; readonly sizeBytes: number }
  /** The client has been sent something: it is too late to start anew. */
  | { readonly type: 'committed' }
  /** All the bytes have come, and their digest is wrong. */
  | { readonly type: 'wrong' }

export type TransferAction =
  /** Ask the candidate with this index for these bytes. */
  | { readonly type: 'request'; readonly source: number; readonly wanted: WantedBytes }
  /** Go on; of the bytes just received the first `take` are the client's. */
  | { readonly type: 'receive'; readonly take: number }
  | { readonly type: 'finish' }
  /** The body must end before its length. */
  | { readonly type: 'end-early' }
  | { readonly type: 'not-found' }
  | { readonly type: 'unsatisfiable'; readonly sizeBytes: number }

/**
 * Gets one body from several candidates, one after the other: what breaks goes on at the next from the byte reached.
 * A candidate that failed is never asked again. Sources may have only the first `reach` bytes.
 *
 * Invariant "ends": each request consumes a candidate, or brings the byte reached up to the candidate's reach, beyond
 * which it is not asked again; so the number of requests is bounded by the number of candidates.
 */
export class TransferPlan {
  readonly #candidates: readonly Pick<Candidate, 'reach'>[]
  readonly #wanted: WantedBytes
  readonly #failed = new Set<number>()
  readonly #contributors = new Set<number>()
  #active: number | undefined
  /** Last byte, included, that the active source was asked for. */
  #activeEnd = -1
  #opened = false
  #committed = false
  #sizeBytes: number | undefined
  #start = 0
  #end = -1
  #reached = 0

  constructor(candidates: readonly Pick<Candidate, 'reach'>[], wanted: WantedBytes) {
    this.#candidates = candidates
    this.#wanted = wanted
    this.#rewind()
  }

  /** Size of the body and the bytes that the client gets, once the first source has told. */
  get body(): { readonly sizeBytes: number; readonly start: number; readonly end: number } | undefined {
    return this.#sizeBytes === undefined
      ? undefined
      : { sizeBytes: this.#sizeBytes, start: this.#start, end: this.#end }
  }

  /** Offset of the next byte that is needed. */
  get reached(): number {
    return this.#reached
  }

  /** Indices of the candidates that gave bytes since the body was begun (anew). */
  get contributors(): ReadonlySet<number> {
    return this.#contributors
  }

  step(event: TransferEvent): TransferAction {
    switch (event.type) {
      case 'start':
        return this.#next()
      case 'opened':
        return this.#open(event)
      case 'received':
        return this.#receive(event.bytes)
      case 'ended':
        return this.#ended()
      case 'failed':
        return this.#fail()
      case 'unsatisfiable':
        return this.#body === 'unknown' && !this.#committed
          ? { type: 'unsatisfiable', sizeBytes: event.sizeBytes }
          : this.#fail()
      case 'committed':
        this.#committed = true
        return { type: 'receive', take: 0 }
      case 'wrong':
        for (const index of this.#contributors) this.#failed.add(index)
        if (this.#committed) return { type: 'end-early' }
        this.#rewind()
        return this.#next()
    }
  }

  get #body(): 'known' | 'unknown' {
    return this.#sizeBytes === undefined ? 'unknown' : 'known'
  }

  /** What is known of the body came from a source that gave nothing, or may have lied: it is not believed. */
  #rewind(): void {
    this.#active = undefined
    this.#contributors.clear()
    this.#sizeBytes = undefined
    this.#start = this.#wanted.kind === 'span' ? this.#wanted.start : 0
    this.#reached = this.#start
  }

  #next(): TransferAction {
    this.#opened = false
    const source = this.#candidates.findIndex(
      ({ reach }, index) => !this.#failed.has(index) && this.#reaches(reach),
    )
    if (source === -1) {
      this.#active = undefined
      return { type: this.#committed ? 'end-early' : 'not-found' }
    }
    this.#active = source
    const reach = this.#candidates[source]?.reach ?? 'complete'
    if (this.#body === 'unknown') {
      const { reached } = this
      const wanted: WantedBytes =
        this.#wanted.kind === 'span' && reach !== 'complete'
          ? { kind: 'span', start: reached, end: Math.min(reach - 1, this.#wanted.end ?? reach - 1) }
          : this.#wanted
      return { type: 'request', source, wanted }
    }
    this.#activeEnd = reach === 'complete' ? this.#end : Math.min(this.#end, reach - 1)
    const wanted: WantedBytes = { kind: 'span', start: this.#reached, end: this.#activeEnd }
    return { type: 'request', source, wanted }
  }

  /** A source that is still growing can't tell where a suffix begins. */
  #reaches(reach: Candidate['reach']): boolean {
    if (reach === 'complete') return true
    return (this.#wanted.kind === 'span' || this.#body === 'known') && reach > this.#reached
  }

  #open(head: { sizeBytes: number; start: number; end: number }): TransferAction {
    if (this.#active === undefined || this.#opened) return this.#fail()
    const reach = this.#candidates[this.#active]?.reach ?? 'complete'
    if (this.#sizeBytes !== undefined) {
      if (
        head.sizeBytes !== this.#sizeBytes ||
        head.start !== this.#reached ||
        head.end !== this.#activeEnd
      ) {
        return this.#fail()
      }
    } else {
      const span = resolve(this.#wanted, head.sizeBytes)
      if (span === undefined) return this.#fail()
      const activeEnd = reach === 'complete' ? span.end : Math.min(span.end, reach - 1)
      if (head.start !== span.start || head.end !== activeEnd) return this.#fail()
      this.#sizeBytes = head.sizeBytes
      this.#start = span.start
      this.#end = span.end
      this.#reached = span.start
      this.#activeEnd = activeEnd
    }
    this.#opened = true
    return { type: 'receive', take: 0 }
  }

  #receive(bytes: number): TransferAction {
    if (this.#active === undefined || !this.#opened) return this.#fail()
    const take = Math.min(bytes, this.#activeEnd + 1 - this.#reached)
    if (take > 0) this.#contributors.add(this.#active)
    this.#reached += take
    return { type: 'receive', take }
  }

  #ended(): TransferAction {
    if (this.#active === undefined || !this.#opened || this.#reached <= this.#activeEnd) return this.#fail()
    this.#active = undefined
    return this.#reached > this.#end ? { type: 'finish' } : this.#next()
  }

  #fail(): TransferAction {
    if (this.#active !== undefined) this.#failed.add(this.#active)
    if (this.#contributors.size === 0 && !this.#committed) this.#rewind()
    return this.#next()
  }
}

/** The bytes that are wanted of a body of known size; undefined where it has none of them. */
function resolve(wanted: WantedBytes, sizeBytes: number): { start: number; end: number } | undefined {
  if (wanted.kind === 'suffix') {
    if (sizeBytes === 0 || wanted.length === 0) return undefined
    return { start: Math.max(0, sizeBytes - wanted.length), end: sizeBytes - 1 }
  }
  if (wanted === wholeBody) return { start: 0, end: sizeBytes - 1 }
  if (wanted.start >= sizeBytes) return undefined
  return { start: wanted.start, end: Math.min(wanted.end ?? sizeBytes - 1, sizeBytes - 1) }
}
