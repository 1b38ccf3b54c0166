import { type Digest, isDigest } from '../core/digest.ts'
import { describeError, StarlingError } from '../core/errors.ts'
import { toUnavailable } from './client.ts'
import type { SessionContext, Tell } from './context.ts'
import { FolderWatch } from './folder-watch.ts'
import type { EnvelopeMessage } from './protocol.ts'
import { refreshAll, refreshDigest, refreshImage } from './refresh.ts'
import { type Work, WorkQueue } from './work-queue.ts'

/** When a blob is looked for again whose file is there, but which no namespace knows, or without its source: a pull is under way. */
const retryDelaysMs = [50, 200, 1000, 3000] as const

const maxTimers = 4096

/**
 * One connection to containerd, from the first listing to the break. Events and the folder name what may have
 * changed; one loop looks at it and tells, so that the listener's pace is ours.
 */
export class Session {
  readonly #context: SessionContext
  readonly #tell: Tell
  readonly #queue = new WorkQueue()
  readonly #ended = new AbortController()
  readonly #timers = new Set<NodeJS.Timeout>()
  #watch: FolderWatch | undefined
  #watching = false

  constructor(context: SessionContext, tell: Tell) {
    this.#context = context
    this.#tell = tell
  }

  /**
   * Runs until the connection breaks or `signal` is aborted. `onListed` is called once, after the first listing.
   * @throws StarlingError STORE_UNAVAILABLE, or what the listener threw
   */
  async run(signal: AbortSignal, onListed: () => void): Promise<void> {
    const stopped = (): void => this.#end(new StarlingError('STORE_UNAVAILABLE', 'stopped'))
    signal.addEventListener('abort', stopped, { once: true })
    const events = this.#context.client.subscribe(this.#context.namespaces)
    events.on('data', (envelope: EnvelopeMessage) => this.#heard(envelope))
    events.on('error', (error) => this.#end(toUnavailable(error)))
    events.on('end', () => this.#end(new StarlingError('STORE_UNAVAILABLE', 'containerd ended its events')))
    this.#watch = this.#watchFolder()
    try {
      if (signal.aborted) return
      await refreshAll(this.#context, this.#tell, { always: true, onListed })
      this.#later(this.#context.timing.settleDelayMs, () => void this.#queue.markAll())
      this.#checkHealth()
      await this.#work()
    } catch (error) {
      throw this.#ended.signal.reason ?? error
    } finally {
      signal.removeEventListener('abort', stopped)
      events.cancel()
      this.#watch?.close()
      for (const timer of this.#timers) clearTimeout(timer)
      this.#queue.close()
    }
    throw this.#ended.signal.reason
  }

  /** Resolves when everything was listed anew and the difference was told, or the session ended. */
  audit(): Promise<void> {
    return this.#ended.signal.aborted ? Promise.resolve() : this.#queue.markAll()
  }

  async #work(): Promise<void> {
    const { signal } = this.#ended
    while (!signal.aborted) {
      const work = this.#queue.take()
      if (work === undefined) await this.#queue.wait(signal)
      else await this.#do(work)
    }
  }

  async #do(work: Work): Promise<void> {
    const { signal } = this.#ended
    switch (work.type) {
      case 'all':
        try {
          await this.#watch?.check()
          await refreshAll(this.#context, this.#tell, { always: false })
        } finally {
          work.done()
        }
        break
      case 'images':
        for (const { namespace, name } of work.images) {
          if (signal.aborted) return
          const deleted = await refreshImage(this.#context, this.#tell, namespace, name)
          if (deleted && !this.#watching)
            this.#later(this.#context.timing.collectDelayMs, () => void this.#queue.markAll())
        }
        break
      case 'digests':
        for (const { digest, attempt } of work.digests) {
          if (signal.aborted) return
          const settled = await refreshDigest(this.#context, this.#tell, digest)
          if (!settled) this.#retry(digest, attempt)
        }
    }
  }

  #retry(digest: Digest, attempt: number): void {
    const delayMs = retryDelaysMs[attempt]
    if (delayMs !== undefined) this.#later(delayMs, () => this.#queue.markDigest(digest, attempt + 1))
  }

  #heard(envelope: EnvelopeMessage): void {
    let subject: { name?: string; digest?: string } | undefined
    try {
      subject = this.#context.client.decodeEvent(envelope)
    } catch (error) {
      this.#context.log.warn(
        { topic: envelope.topic, problem: describeError(error) },
        'an event does not decode',
      )
      return
    }
    if (subject === undefined || !this.#context.namespaces.includes(envelope.namespace)) return
    this.#context.metrics.count('starling_store_events_total', { topic: envelope.topic })
    const { name, digest } = subject
    if (name !== undefined && name !== '') this.#queue.markImage(envelope.namespace, name)
    if (digest !== undefined && isDigest(digest)) this.#queue.markDigest(digest)
  }

  #watchFolder(): FolderWatch | undefined {
    const { contentPath, log } = this.#context
    if (contentPath === undefined) return undefined
    this.#watching = true
    return new FolderWatch(contentPath, {
      changed: (digest) => this.#queue.markDigest(digest),
      rescan: () => void this.#queue.markAll(),
      failed: (problem) => {
        this.#watching = false
        log.warn(
          { contentPath, problem },
          'the content folder cannot be watched; audits find what no event tells',
        )
      },
    })
  }

  #checkHealth(): void {
    this.#later(this.#context.timing.healthIntervalMs, () => {
      this.#context.client.version().then(
        () => this.#checkHealth(),
        (error: unknown) => this.#end(toUnavailable(error)),
      )
    })
  }

  /** Runs `action` after the delay unless the session has ended. A flood of waiting actions becomes one listing. */
  #later(delayMs: number, action: () => void): void {
    if (this.#ended.signal.aborted) return
    if (this.#timers.size >= maxTimers) {
      void this.#queue.markAll()
      return
    }
    const timer = setTimeout(() => {
      this.#timers.delete(timer)
      action()
    }, delayMs)
    this.#timers.add(timer)
  }

  #end(reason: Error): void {
    this.#ended.abort(reason)
    this.#context.client.close()
  }
}
