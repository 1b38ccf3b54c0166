import type { BlobReader, BlobSource, GrowingBlob } from '../../core/content-store.ts'
import { type FlightKey, keyText } from '../../flights/flight-key.ts'
import type { Progress } from '../../flights/messages.ts'

export interface DownloadStore {
  reader(): BlobReader
  source(): BlobSource
}

/** The downloads of this node's own containerd, as its store shows them; those that are followed stay open. */
export class Downloads {
  readonly #store: DownloadStore
  readonly #open = new Map<string, GrowingBlob>()
  #reader: { readonly of: string; readonly reader: BlobReader } | undefined

  constructor(store: DownloadStore) {
    this.#store = store
  }

  /** Undefined where there is none, or the store can't be read. Never rejects. */
  async look(key: FlightKey): Promise<Progress | undefined> {
    const text = keyText(key)
    try {
      let blob = this.#open.get(text)
      if (blob === undefined) {
        blob = await this.#current().openGrowing?.(key.digest)
        if (blob === undefined) return undefined
        const raced = this.#open.get(text)
        if (raced === undefined) this.#open.set(text, blob)
        else await blob.close()
        blob = raced ?? blob
      }
      const { state, reachedBytes, sizeBytes } = await blob.look()
      if (state !== 'gone') return { state, offset: reachedBytes, sizeBytes }
    } catch {
      // The same as a download that is gone.
    }
    this.forget(key)
    return undefined
  }

  forget(key: FlightKey): void {
    const text = keyText(key)
    const blob = this.#open.get(text)
    this.#open.delete(text)
    blob?.close().catch(() => {})
  }

  async close(): Promise<void> {
    for (const blob of this.#open.values()) await blob.close().catch(() => {})
    this.#open.clear()
    await this.#reader?.reader.close()
    this.#reader = undefined
  }

  /** The folder may be known later than this node starts, and change. */
  #current(): BlobReader {
    const of = JSON.stringify(this.#store.source())
    if (this.#reader?.of !== of) {
      void this.#reader?.reader.close().catch(() => {})
      this.#reader = { of, reader: this.#store.reader() }
    }
    return this.#reader.reader
  }
}
