import { createHash } from 'node:crypto'
import type { BlobReader, BlobSource, GrowingBlob } from '../../core/content-store.ts'
import type { Digest } from '../../core/digest.ts'
import { type FlightKey, keyText } from '../../flights/flight-key.ts'
import type { Progress } from '../../flights/messages.ts'

export interface DownloadStore {
  reader(): BlobReader
  source(): BlobSource
}

/** What vanished is read once more up to this size, to learn whether its bytes were right. */
const maxJudgedBytes = 4 * 2 ** 30
const readSizeBytes = 2 ** 20

/** The downloads of this node's own containerd, as its store shows them; those that are followed stay open. */
export class Downloads {
  readonly #store: DownloadStore
  readonly #open = new Map<string, GrowingBlob>()
  readonly #judged = new Map<string, Promise<Progress | undefined>>()
  #reader: { readonly of: string; readonly reader: BlobReader } | undefined

  constructor(store: DownloadStore) {
    this.#store = store
  }

  /**
   * Undefined where there is none, or the store can't be read. `wrong`: it was complete, was not committed, and has other bytes
   * than those of the digest; to learn that takes as long as to read it. Never rejects.
   */
  async look(key: FlightKey): Promise<Progress | undefined> {
    const text = keyText(key)
    const judged = this.#judged.get(text)
    if (judged !== undefined) return await judged
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
      const isWhole = sizeBytes !== undefined && sizeBytes > 0 && reachedBytes === sizeBytes
      if (isWhole && sizeBytes <= maxJudgedBytes) return await this.#judge(key, blob, sizeBytes)
    } catch {
      // The same as a download that is gone.
    }
    this.forget(key)
    return undefined
  }

  /** As `look`, for who can't wait: what is being read once more is gone. */
  async glance(key: FlightKey): Promise<Progress | undefined> {
    return this.#judged.has(keyText(key)) ? undefined : await this.look(key)
  }

  /** Its file is open still: whoever cancels a pull after its last byte is not to blame for its bytes. */
  async #judge(key: FlightKey, blob: GrowingBlob, sizeBytes: number): Promise<Progress | undefined> {
    const text = keyText(key)
    const known = this.#judged.get(text)
    if (known !== undefined) return await known
    this.#open.delete(text)
    const judging = isWrong(blob, key.digest, sizeBytes)
      .catch(() => false)
      .then((wrong) => (wrong ? ({ state: 'wrong', offset: sizeBytes, sizeBytes } as const) : undefined))
    this.#judged.set(text, judging)
    try {
      return await judging
    } finally {
      this.#judged.delete(text)
      await blob.close().catch(() => {})
    }
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

async function isWrong(blob: GrowingBlob, digest: Digest, sizeBytes: number): Promise<boolean> {
  const hash = createHash('sha256')
  const buffer = new Uint8Array(Math.min(readSizeBytes, sizeBytes))
  for (let offset = 0; offset < sizeBytes; ) {
    const count = await blob.read(buffer.subarray(0, Math.min(buffer.length, sizeBytes - offset)), offset)
    if (count === 0) return false
    hash.update(buffer.subarray(0, count))
    offset += count
  }
  return `sha256:${hash.digest('hex')}` !== digest
}
