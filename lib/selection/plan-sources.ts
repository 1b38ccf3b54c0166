import type { Candidate } from '../core/lookup.ts'

/** `disagrees`: says other things of the body than the first one, who may be the liar. `lied`: gave wrong bytes. */
export type SourceState = 'ready' | 'busy' | 'failed' | 'disagrees' | 'lied'

export interface Source {
  /** Bytes that it has, counted from the start. */
  reach: number
  state: SourceState
  /** Requests that it is answering. */
  running: number
  /** Was overtaken: gets nothing new while others can. */
  slow: boolean
  /** Monotonic milliseconds at which a busy one may be asked again. */
  retryAtMs: number
  busyAnswers: number
  /** Was asked again after it had broken off, because there was nobody else. */
  askedAgain: boolean
  /** The byte that the body needed when it failed. */
  failedAt: number
}

export type Failure = Extract<SourceState, 'failed' | 'disagrees' | 'lied'>

/** A candidate that answers so often that it is busy is given up. */
const maxBusyAnswers = 30

/** The candidates of one transfer, in the order in which they should be asked. */
export class PlanSources {
  readonly #sources: Source[]
  #returnedAt = Number.NEGATIVE_INFINITY

  constructor(candidates: readonly Pick<Candidate, 'reach'>[]) {
    this.#sources = candidates.map(newSource)
  }

  add(candidates: readonly Pick<Candidate, 'reach'>[]): void {
    this.#sources.push(...candidates.map(newSource))
  }

  get(index: number): Source {
    return this.#sources[index] as Source
  }

  /**
   * The source to ask for the byte at `offset`; undefined where none is free. `except` is not asked; `urgent` asks one that
   * already answers a request, where all do.
   */
  pick(offset: number, options: { except?: readonly number[]; urgent?: boolean } = {}): number | undefined {
    const { except = [], urgent = false } = options
    const able = ({ state, reach }: Source, index: number): boolean =>
      state === 'ready' && reach > offset && !except.includes(index)
    const find = (wanted: (source: Source) => boolean): number | undefined => {
      const index = this.#sources.findIndex((source, at) => able(source, at) && wanted(source))
      return index === -1 ? undefined : index
    }
    const free = find(({ running, slow }) => running === 0 && !slow)
    if (free !== undefined) return free
    const quick = find(({ slow }) => !slow)
    if (quick !== undefined) return urgent ? quick : undefined
    return find(({ running }) => running === 0)
  }

  /** Could any source give the byte at `offset`, now or later? */
  canServe(offset: number): boolean {
    return this.#sources.some((source) => isLeft(source, offset))
  }

  /**
   * May a source that broke off be asked again for the byte at `offset`? Once, where nobody else could give it: the client has
   * a part of the body, and nothing better is left than another try.
   */
  mayAskAgain(index: number, offset: number): boolean {
    const source = this.get(index)
    if (source.askedAgain) return false
    source.askedAgain = !this.#sources.some((other) => other !== source && isLeft(other, offset))
    return source.askedAgain
  }

  /**
   * Nobody is left for the byte at `offset`: lets the one come back that failed longest ago, where the body has grown by
   * `minBytes` since, and since somebody came back last. False where there is none.
   */
  returnOne(offset: number, minBytes: number): boolean {
    if (offset - this.#returnedAt < minBytes) return false
    const able = this.#sources.filter(
      ({ state, reach, failedAt }) => state === 'failed' && reach > offset && offset - failedAt >= minBytes,
    )
    const first = able.reduce<Source | undefined>(
      (best, source) => (best === undefined || source.failedAt < best.failedAt ? source : best),
      undefined,
    )
    if (first === undefined) return false
    this.#returnedAt = offset
    first.state = 'ready'
    return true
  }

  /** Sources that are neither failed nor busy. */
  get readyCount(): number {
    return this.#sources.filter(({ state }) => state === 'ready').length
  }

  /** @param offset the byte that the body needs next */
  fail(index: number, state: Failure, offset: number): void {
    Object.assign(this.get(index), { state, failedAt: offset })
  }

  busy(index: number, retryAtMs: number): void {
    const source = this.get(index)
    source.retryAtMs = retryAtMs
    source.state = ++source.busyAnswers > maxBusyAnswers ? 'failed' : 'busy'
  }

  /** Busy ones whose time has come are ready again. */
  wake(nowMs: number): void {
    for (const source of this.#sources) {
      if (source.state === 'busy' && nowMs >= source.retryAtMs) source.state = 'ready'
    }
  }

  /** What was known of the body is not believed any more, and who disagreed with it may be right. */
  forgetDisagreement(): void {
    for (const source of this.#sources) if (source.state === 'disagrees') source.state = 'ready'
  }
}

function isLeft({ state, reach }: Source, offset: number): boolean {
  return (state === 'ready' || state === 'busy') && reach > offset
}

function newSource({ reach }: Pick<Candidate, 'reach'>): Source {
  return {
    reach: reach === 'complete' ? Number.POSITIVE_INFINITY : reach,
    state: 'ready',
    running: 0,
    slow: false,
    retryAtMs: 0,
    busyAnswers: 0,
    askedAgain: false,
    failedAt: 0,
  }
}
