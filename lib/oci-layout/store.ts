import { resolve } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { BlobReader, BlobSource, ContentStore, StoreChange, StoreStatus } from '../core/content-store.ts'
import { describeError, StarlingError } from '../core/errors.ts'
import type { Clock, Logger, Metrics } from '../core/ports.ts'
import { StoreView } from '../core/store-view.ts'
import { createOciLayoutReader } from './blob-reader.ts'
import { LayoutWatch } from './layout-watch.ts'

export interface OciLayoutStoreOptions {
  /** The image-layout folder; it may come later. */
  readonly path: string
  readonly log: Logger
  readonly clock: Clock
  readonly metrics: Metrics
}

type Listener = (change: StoreChange) => void | Promise<void>

const firstRetryMs = 100
const maxRetryMs = 5000

/** The images and blobs of an OCI image-layout folder (OCI image specification, "Image Layout"). */
export function createOciLayoutStore(options: OciLayoutStoreOptions): ContentStore {
  return new OciLayoutStore({ ...options, path: resolve(options.path) })
}

class OciLayoutStore implements ContentStore {
  readonly #options: OciLayoutStoreOptions
  readonly #view = new StoreView()
  readonly #readers = new Set<BlobReader>()
  readonly #stopping = new AbortController()
  #running: Promise<void> | undefined
  #layout: LayoutWatch | undefined
  #retryMs = firstRetryMs
  #status: StoreStatus

  constructor(options: OciLayoutStoreOptions) {
    this.#options = options
    this.#status = {
      kind: 'oci-layout',
      state: 'waiting',
      version: undefined,
      problem: undefined,
      sinceMs: options.clock.wallMs(),
    }
  }

  async start(listener: Listener): Promise<void> {
    if (this.#running !== undefined) throw new StarlingError('INTERNAL', 'a store can be started once')
    this.#running = this.#run(listener)
  }

  async stop(): Promise<void> {
    this.#stopping.abort()
    await this.#running
    await Promise.all([...this.#readers].map((reader) => reader.close()))
    this.#readers.clear()
    this.#setStatus('stopped', this.#status.version, undefined)
  }

  status(): StoreStatus {
    return this.#status
  }

  async audit(): Promise<void> {
    await this.#layout?.audit()
  }

  reader(): BlobReader {
    const reader = createOciLayoutReader(this.source())
    this.#readers.add(reader)
    return reader
  }

  source(): BlobSource & { kind: 'oci-layout' } {
    return { kind: 'oci-layout', path: this.#options.path }
  }

  async #run(listener: Listener): Promise<void> {
    const { signal } = this.#stopping
    while (!signal.aborted) {
      try {
        await this.#follow(listener)
      } catch (error) {
        if (signal.aborted) break
        if (this.#status.state === 'connected') {
          this.#options.metrics.count('starling_store_disconnects_total')
          this.#retryMs = firstRetryMs
        }
        this.#setStatus('waiting', undefined, describeError(error))
        await this.#forget(listener)
      }
      await delay(this.#retryMs, undefined, { signal }).catch(() => {})
      this.#retryMs = Math.min(this.#retryMs * 2, maxRetryMs)
    }
  }

  /** Follows the layout until it is gone, which is thrown. */
  async #follow(listener: Listener): Promise<void> {
    const layout = new LayoutWatch({
      ...this.#options,
      view: this.#view,
      tell: (change) => this.#tell(listener, change),
      status: (version, problem) => this.#setStatus('connected', version, problem),
    })
    this.#layout = layout
    try {
      await layout.run(this.#stopping.signal)
    } finally {
      this.#layout = undefined
    }
  }

  /** A layout that is gone took its content along. */
  async #forget(listener: Listener): Promise<void> {
    if (this.#view.images.size + this.#view.blobs.size === 0) return
    await this.#tell(listener, { type: 'snapshot', images: [], blobs: [] }).catch(() => {})
  }

  async #tell(listener: Listener, change: StoreChange): Promise<void> {
    const { metrics, log } = this.#options
    const { signal } = this.#stopping
    if (signal.aborted) return
    metrics.count('starling_store_changes_total', { type: change.type })
    try {
      await untilAborted(Promise.resolve(listener(change)), signal)
    } catch (error) {
      log.error({ type: change.type, problem: describeError(error) }, 'a change of the store was not taken')
      throw error
    }
    this.#view.apply(change)
    metrics.set('starling_store_images', this.#view.images.size)
    metrics.set('starling_store_blobs', this.#view.blobs.size)
  }

  /** Logs a change of state or problem once, however often it is retried. */
  #setStatus(state: StoreStatus['state'], version: string | undefined, problem: string | undefined): void {
    const { log, clock, path } = this.#options
    const before = this.#status
    if (before.state === state && before.problem === problem) return
    const sinceMs = before.state === state ? before.sinceMs : clock.wallMs()
    this.#status = { kind: 'oci-layout', state, version, problem, sinceMs }
    const fields = { path, version, problem }
    if (state === 'waiting') log.warn(fields, 'the image layout cannot be used; waiting for it')
    else if (state === 'connected' && problem === undefined) log.info(fields, 'the image layout is followed')
    else if (state === 'connected') log.warn(fields, 'the image layout is followed, with a problem')
  }
}

/** Settles as `work` does, or resolves when the signal is aborted. */
function untilAborted(work: Promise<void>, signal: AbortSignal): Promise<void> {
  return new Promise((resolveWork, reject) => {
    const stop = (): void => resolveWork()
    signal.addEventListener('abort', stop, { once: true })
    work.then(resolveWork, reject).finally(() => signal.removeEventListener('abort', stop))
  })
}
