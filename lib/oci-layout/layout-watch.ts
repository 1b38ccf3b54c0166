import { setTimeout as delay } from 'node:timers/promises'
import type { StoreChange, StoreImage } from '../core/content-store.ts'
import type { Digest } from '../core/digest.ts'
import { describeError, StarlingError, systemErrorCode } from '../core/errors.ts'
import type { Clock, Logger, Metrics } from '../core/ports.ts'
import type { StoreView } from '../core/store-view.ts'
import { differenceOf } from './difference.ts'
import { FolderWatch } from './folder-watch.ts'
import { indexStamp, readIndex, readLayoutVersion } from './layout.ts'
import { emptyScan, type Scan, scanBlobs } from './scan.ts'

/** Changes within this time are looked at together. */
const debounceMs = 20
/** A blob that is written in place is not offered until nobody wrote to it for this long. */
const settleMs = 500
const maxUnsettled = 4096

export interface LayoutWatchOptions {
  readonly path: string
  readonly view: StoreView
  readonly log: Logger
  readonly clock: Clock
  readonly metrics: Metrics
  readonly tell: (change: StoreChange) => Promise<void>
  /** Told after each scan: version of the layout, and what is wrong with its index, if anything. */
  readonly status: (version: string, problem: string | undefined) => void
}

/** Follows one layout folder from its appearance to its end. */
export class LayoutWatch {
  readonly #options: LayoutWatchOptions
  readonly #unsettled = new Map<Digest, number>()
  #scan: Scan = emptyScan
  #images: readonly StoreImage[] = []
  #skipped = 0
  #index: { readonly stamp: string; readonly problem: string | undefined } | undefined
  #changed = true
  #audit: PromiseWithResolvers<void> | undefined
  #wake: () => void = () => {}

  constructor(options: LayoutWatchOptions) {
    this.#options = options
  }

  /** @throws StarlingError STORE_UNAVAILABLE, STORE_INVALID when the layout is not (or no longer) there */
  async run(signal: AbortSignal): Promise<void> {
    const { path, log } = this.#options
    await readLayoutVersion(path)
    const watch = new FolderWatch(path, {
      changed: (written) => this.#heard(written),
      failed: (problem) =>
        log.warn({ problem }, 'the image layout cannot be watched; audits find what changes'),
    })
    const wake = (): void => this.#wake()
    signal.addEventListener('abort', wake, { once: true })
    try {
      for (let first = true; !signal.aborted; first = false) {
        await watch.attach()
        this.#changed = false
        const audit = this.#audit
        this.#audit = undefined
        try {
          await this.#look(first, audit !== undefined)
        } finally {
          audit?.resolve()
        }
        await this.#untilChanged(signal)
        await delay(debounceMs, undefined, { signal }).catch(() => {})
      }
    } finally {
      signal.removeEventListener('abort', wake)
      watch.close()
      this.#audit?.resolve()
    }
  }

  /** Resolves when all was looked at anew and the difference was told, or the layout is gone. */
  audit(): Promise<void> {
    this.#audit ??= Promise.withResolvers()
    this.#wake()
    return this.#audit.promise
  }

  async #look(first: boolean, audit: boolean): Promise<void> {
    const { path, view, tell, status } = this.#options
    const version = await readLayoutVersion(path)
    const problem = await this.#readIndex()
    const known = this.#scan
    this.#scan = await this.#scanSettled(known, first || audit)
    status(version, problem)
    const changes = await differenceOf(view, this.#images, this.#scan)
    const blobs = [...this.#scan.blobs.values()]
    const snapshot = { type: 'snapshot', images: this.#images, blobs } as const
    if (first) await tell(snapshot)
    else if (audit && changes.length > 0) {
      this.#options.metrics.count('starling_store_audit_differences_total', {}, changes.length)
      await tell(snapshot)
    } else for (const change of changes) await tell(change)
  }

  /** Reads index.json if it is another than last time. Returns what is wrong with it. */
  async #readIndex(): Promise<string | undefined> {
    const stamp = await indexStamp(this.#options.path)
    if (this.#index?.stamp !== stamp) this.#index = { stamp, problem: await this.#readNewIndex() }
    return this.#index.problem
  }

  /** While index.json can't be used, what it said last holds; one that is gone has taken the images along. */
  async #readNewIndex(): Promise<string | undefined> {
    const { path, log, metrics } = this.#options
    try {
      const index = await readIndex(path)
      this.#images = index.images
      if (index.skipped > 0 && index.skipped !== this.#skipped) {
        metrics.count('starling_store_skipped_total', { reason: 'bad-image' }, index.skipped)
        log.info({ skipped: index.skipped }, 'entries of index.json have no image name that can be offered')
      }
      this.#skipped = index.skipped
      return index.truncated ? 'index.json names too many images; the rest is not offered' : undefined
    } catch (error) {
      if (error instanceof StarlingError && systemErrorCode(error.cause) === 'ENOENT') this.#images = []
      return describeError(error)
    }
  }

  async #scanSettled(known: Scan, everything: boolean): Promise<Scan> {
    const { path, clock, log, metrics } = this.#options
    const now = clock.monotonicMs()
    const written = new Set(this.#unsettled.keys())
    const scan = await scanBlobs(path, this.#images, known, (digest) => !everything && !written.has(digest))
    if (scan.truncated && !known.truncated)
      log.warn({}, 'the image layout holds more than is looked at; the rest is not offered')
    const blobs = new Map(scan.blobs)
    for (const [digest, sinceMs] of this.#unsettled) {
      const sameSize = known.blobs.get(digest)?.sizeBytes === scan.blobs.get(digest)?.sizeBytes
      if (now - sinceMs >= settleMs || sameSize) this.#unsettled.delete(digest)
      else if (blobs.delete(digest))
        metrics.count('starling_store_skipped_total', { reason: 'being-written' })
    }
    return { ...scan, blobs }
  }

  #heard(written: Digest | undefined): void {
    if (written !== undefined && (this.#unsettled.size < maxUnsettled || this.#unsettled.has(written)))
      this.#unsettled.set(written, this.#options.clock.monotonicMs())
    this.#changed = true
    this.#wake()
  }

  /** Waits for a change, an audit, the end, or the time when a blob that was written in place is settled. */
  #untilChanged(signal: AbortSignal): Promise<void> {
    if (this.#changed || this.#audit !== undefined || signal.aborted) return Promise.resolve()
    return new Promise((resolve) => {
      const timer = this.#unsettled.size > 0 ? setTimeout(() => this.#wake(), settleMs) : undefined
      this.#wake = () => {
        clearTimeout(timer)
        this.#wake = () => {}
        resolve()
      }
    })
  }
}
