import { type Digest, digestToBytes } from '../core/digest.ts'
import { tagPairSizeBytes } from './element-codec.ts'
import { type ElementChange, packKeys, type TagPair, tagKey } from './elements.ts'
import type { InventoryChange } from './local-registry.ts'

type Direction = 'add' | 'remove'

function pairText(pair: TagPair): string {
  return `${pair.repository}:${pair.tag}@${pair.digest}`
}

/**
 * What has changed in this node's inventory of a registry since it was last announced. What comes and goes before it
 * is announced cancels out.
 */
export class PendingChanges {
  readonly #digests = new Map<Digest, Direction>()
  readonly #tags = new Map<string, { readonly pair: TagPair; readonly direction: Direction }>()

  get size(): number {
    return this.#digests.size + this.#tags.size
  }

  add(change: Omit<InventoryChange, 'registry'>): void {
    for (const digest of change.addedDigests) this.#noteDigest(digest, 'add')
    for (const digest of change.removedDigests) this.#noteDigest(digest, 'remove')
    for (const pair of change.addedTags) this.#noteTag(pair, 'add')
    for (const pair of change.removedTags) this.#noteTag(pair, 'remove')
  }

  /** Bytes that all of it would take on the wire, about. */
  sizeBytes(): number {
    let bytes = this.#digests.size * 32
    for (const { pair, direction } of this.#tags.values()) {
      bytes += direction === 'add' ? tagPairSizeBytes(pair) : 32
    }
    return bytes
  }

  /**
   * Takes out a part within the bounds given; digests come before the tags that point to them. With `room` only so
   * many elements are added, and what is removed comes along all the same.
   */
  take(bounds: { maxBytes: number; maxElements: number; room: number }): ElementChange {
    const addDigests: Uint8Array[] = []
    const removeDigests: Uint8Array[] = []
    const addTags: TagPair[] = []
    const removeTags: Uint8Array[] = []
    let { maxBytes, maxElements, room } = bounds
    const fits = (bytes: number, direction: Direction): boolean => {
      if (direction === 'add' && room === 0) return false
      if (maxBytes < bytes || maxElements === 0) return false
      maxBytes -= bytes
      maxElements -= 1
      if (direction === 'add') room -= 1
      return true
    }
    for (const [digest, direction] of this.#digests) {
      if (maxElements === 0 || maxBytes < 32) break
      if (!fits(32, direction)) continue
      this.#digests.delete(digest)
      const into = direction === 'add' ? addDigests : removeDigests
      into.push(digestToBytes(digest))
    }
    for (const [text, { pair, direction }] of this.#tags) {
      if (maxElements === 0 || maxBytes < 32) break
      if (!fits(direction === 'add' ? tagPairSizeBytes(pair) : 32, direction)) continue
      this.#tags.delete(text)
      if (direction === 'add') addTags.push(pair)
      else removeTags.push(tagKey(pair))
    }
    return {
      addDigests: packKeys(addDigests),
      removeDigests: packKeys(removeDigests),
      addTags,
      removeTags: packKeys(removeTags),
    }
  }

  #noteDigest(digest: Digest, direction: Direction): void {
    const noted = this.#digests.get(digest)
    if (noted === undefined) this.#digests.set(digest, direction)
    else if (noted !== direction) this.#digests.delete(digest)
  }

  #noteTag(pair: TagPair, direction: Direction): void {
    const text = pairText(pair)
    const noted = this.#tags.get(text)
    if (noted === undefined) this.#tags.set(text, { pair, direction })
    else if (noted.direction !== direction) this.#tags.delete(text)
  }
}
