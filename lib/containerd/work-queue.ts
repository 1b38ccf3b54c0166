import type { Digest } from '../core/digest.ts'
import { imageKey } from '../core/store-view.ts'

export type Work =
  | { readonly type: 'all'; readonly done: () => void }
  | { readonly type: 'images'; readonly images: readonly { namespace: string; name: string }[] }
  | {
      readonly type: 'digests'
      readonly digests: readonly { readonly digest: Digest; readonly attempt: number }[]
    }

/** Beyond these, listing everything is cheaper than looking at each, and takes no memory meanwhile. */
export const queueBounds = { maxImages: 256, maxDigests: 4096, batch: 64 } as const

/**
 * What must be looked at, each thing once however often it is named. Events only name things; what is told of them is
 * what containerd says when the work is done, so that order and repetition of events don't matter.
 */
export class WorkQueue {
  readonly #images = new Map<string, { namespace: string; name: string }>()
  readonly #digests = new Map<Digest, number>()
  #all: PromiseWithResolvers<void> | undefined
  #wake: () => void = () => {}

  markImage(namespace: string, name: string): void {
    if (this.#all !== undefined) return
    this.#images.set(imageKey(namespace, name), { namespace, name })
    if (this.#images.size > queueBounds.maxImages) this.markAll()
    this.#wake()
  }

  /** `attempt` counts how often the blob was looked for in vain. */
  markDigest(digest: Digest, attempt = 0): void {
    if (this.#all !== undefined && attempt === 0) return
    this.#digests.set(digest, attempt)
    if (this.#digests.size > queueBounds.maxDigests) this.markAll()
    this.#wake()
  }

  /** Resolves when everything was listed, or the queue was closed. */
  markAll(): Promise<void> {
    this.#all ??= Promise.withResolvers()
    this.#images.clear()
    this.#digests.clear()
    this.#wake()
    return this.#all.promise
  }

  /** The next piece of work; undefined where there is none. */
  take(): Work | undefined {
    const all = this.#all
    if (all !== undefined) {
      this.#all = undefined
      return { type: 'all', done: () => all.resolve() }
    }
    if (this.#images.size > 0) {
      const batch = [...this.#images].slice(0, queueBounds.batch)
      for (const [key] of batch) this.#images.delete(key)
      return { type: 'images', images: batch.map(([, image]) => image) }
    }
    if (this.#digests.size > 0) {
      const batch = [...this.#digests].slice(0, queueBounds.batch)
      for (const [digest] of batch) this.#digests.delete(digest)
      return { type: 'digests', digests: batch.map(([digest, attempt]) => ({ digest, attempt })) }
    }
    return undefined
  }

  /** Waits until there may be work, or `signal` is aborted. */
  wait(signal: AbortSignal): Promise<void> {
    const idle = this.#all === undefined && this.#images.size + this.#digests.size === 0
    if (!idle || signal.aborted) return Promise.resolve()
    return new Promise((resolve) => {
      const wake = (): void => {
        signal.removeEventListener('abort', wake)
        this.#wake = () => {}
        resolve()
      }
      signal.addEventListener('abort', wake, { once: true })
      this.#wake = wake
    })
  }

  /** Lets those go who wait for a listing. */
  close(): void {
    this.#all?.resolve()
    this.#all = undefined
  }
}
