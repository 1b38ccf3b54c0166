import { setTimeout as delay } from 'node:timers/promises'
import type { BlobReader, BlobSource, ContentStore, StoreChange, StoreStatus } from '../core/content-store.ts'
import type { Digest } from '../core/digest.ts'
import { describeError, StarlingError } from '../core/errors.ts'
import type { Clock, Logger, Metrics } from '../core/ports.ts'
import { StoreView } from '../core/store-view.ts'
import { createContainerdReader } from './blob-reader.ts'
import { ContainerdClient } from './client.ts'
import { reportNamespaces, resolveContentPath } from './content-path.ts'
import { defaultTiming, type SessionContext, type StoreTiming } from './context.ts'
import { ManifestCache } from './manifest-cache.ts'
import { probeSocket, probeVersion } from './probe.ts'
import { Session } from './session.ts'

export interface ContainerdStoreOptions {
  /** Absolute path of containerd's socket. */
  readonly socket: string
  readonly namespaces: readonly string[]
  /** Folder of the content store; undefined asks containerd for it. */
  readonly contentPath?: string | undefined
  readonly log: Logger
  readonly clock: Clock
  readonly metrics: Metrics
  /** Other waiting times than usual; for tests. */
  readonly timing?: Partial<StoreTiming>
}

type Listener = (change: StoreChange) => void | Promise<void>
type State = StoreStatus['state']

const namespacePattern = /^[A-Za-z0-9]+(?:[._-][A-Za-z0-9]+)*$/

/**
 * The images and blobs of a containerd, 1.6 to 2.3. Waits for it with growing pauses, and comes back to it when the
 * connection breaks. @throws StarlingError CONFIG_INVALID where a namespace is malformed
 */
export function createContainerdStore(options: ContainerdStoreOptions): ContentStore {
  for (const namespace of options.namespaces) {
    if (namespace.length > 76 || !namespacePattern.test(namespace)) {
      throw new StarlingError('CONFIG_INVALID', `${JSON.stringify(namespace)} is not a containerd namespace`)
    }
  }
  return new ContainerdStore(options)
}

class ContainerdStore implements ContentStore {
  readonly #options: ContainerdStoreOptions
  readonly #view = new StoreView()
  readonly #manifests = new ManifestCache()
  readonly #awaited = new Set<Digest>()
  readonly #readers = new Set<BlobReader>()
  readonly #stopping = new AbortController()
  readonly #timing: StoreTiming
  #running: Promise<void> | undefined
  #session: Session | undefined
  #contentPath: string | undefined
  #retryMs: number
  #status: StoreStatus

  constructor(options: ContainerdStoreOptions) {
    this.#options = options
    this.#timing = { ...defaultTiming, ...options.timing }
    this.#retryMs = this.#timing.firstRetryMs
    this.#contentPath = options.contentPath
    this.#status = {
      kind: 'containerd',
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
    await this.#session?.audit()
  }

  reader(): BlobReader {
    const reader = createContainerdReader(this.source())
    this.#readers.add(reader)
    return reader
  }

  source(): BlobSource & { kind: 'containerd' } {
    const { socket, namespaces } = this.#options
    return { kind: 'containerd', contentPath: this.#contentPath, socket, namespaces: [...namespaces] }
  }

  async #run(listener: Listener): Promise<void> {
    const { signal } = this.#stopping
    while (!signal.aborted) {
      try {
        await this.#connect(listener)
      } catch (error) {
        if (signal.aborted) break
        this.#setStatus('waiting', undefined, describeError(error))
        this.#options.metrics.count('starling_store_disconnects_total')
      }
      await delay(this.#retryMs, undefined, { signal }).catch(() => {})
      this.#retryMs = Math.min(this.#retryMs * 2, this.#timing.maxRetryMs)
    }
  }

  /** Connects once and stays until the connection breaks, which it throws. */
  async #connect(listener: Listener): Promise<void> {
    const { socket, namespaces, metrics, log } = this.#options
    const { signal } = this.#stopping
    await probeSocket(socket)
    const client = new ContainerdClient(socket, this.#timing.callTimeoutMs)
    const close = (): void => client.close()
    signal.addEventListener('abort', close, { once: true })
    try {
      const version = await probeVersion(client, socket)
      await reportNamespaces(client, namespaces, log)
      const contentPath = await resolveContentPath(client, this.#options.contentPath, namespaces, log)
      this.#contentPath = contentPath
      const context: SessionContext = {
        client,
        namespaces,
        contentPath,
        view: this.#view,
        manifests: this.#manifests,
        awaited: this.#awaited,
        timing: this.#timing,
        log,
        metrics,
      }
      const session = new Session(context, (change) => this.#tell(listener, change))
      this.#session = session
      await session.run(signal, () => {
        this.#retryMs = this.#timing.firstRetryMs
        this.#setStatus('connected', version, undefined)
      })
    } finally {
      this.#session = undefined
      signal.removeEventListener('abort', close)
      client.close()
    }
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
  #setStatus(state: State, version: string | undefined, problem: string | undefined): void {
    const { log, clock, socket } = this.#options
    const before = this.#status
    if (before.state === state && before.problem === problem) return
    const sinceMs = before.state === state ? before.sinceMs : clock.wallMs()
    this.#status = { kind: 'containerd', state, version, problem, sinceMs }
    const fields = { socket, version, problem, contentPath: this.#contentPath }
    if (state === 'connected') log.info(fields, 'containerd is connected')
    else if (state === 'waiting') log.warn(fields, 'containerd cannot be used; waiting for it')
  }
}

/** Settles as `work` does, or resolves when the signal is aborted. */
function untilAborted(work: Promise<void>, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const stop = (): void => resolve()
    signal.addEventListener('abort', stop, { once: true })
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', stop))
  })
}
