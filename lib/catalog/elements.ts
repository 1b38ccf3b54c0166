import { hash } from 'node:crypto'
import { type Digest, digestToBytes } from '../core/digest.ts'
import { FieldWriter } from '../core/wire.ts'

/** An inventory is a set of elements: digests, and pairs of a tag and the digest that it points to. */
export interface TagPair {
  readonly repository: string
  readonly tag: string
  readonly digest: Digest
}

/** Every element has a key of 32 bytes: the digest itself, or the hash of the pair. */
export const keySizeBytes = 32

/** Most elements that one origin may offer of one registry; all that a node keeps and sends is bounded by it. */
export const maxInventoryElements = 262_144

const tagContext = Buffer.from('starling tag 1\n')

/** The key of a pair: SHA-256 over a context and its length-prefixed parts, so that no two pairs share their bytes. */
export function tagKey(pair: TagPair): Uint8Array {
  const fields = new FieldWriter()
    .string(1, pair.repository)
    .string(2, pair.tag)
    .bytes(3, digestToBytes(pair.digest))
  return hash('sha256', Buffer.concat([tagContext, fields.finish()]), 'buffer')
}

/** A step from one inventory to the next. Keys are packed, 32 bytes each; a pair is removed by its key. */
export interface ElementChange {
  readonly addDigests: Uint8Array
  readonly removeDigests: Uint8Array
  readonly addTags: readonly TagPair[]
  readonly removeTags: Uint8Array
}

/** Number of elements that a change names. */
export function changeSize(change: ElementChange): number {
  const packed = change.addDigests.length + change.removeDigests.length + change.removeTags.length
  return packed / keySizeBytes + change.addTags.length
}

/** Lays keys of 32 bytes one after the other. */
export function packKeys(keys: readonly Uint8Array[]): Uint8Array {
  const packed = new Uint8Array(keys.length * keySizeBytes)
  keys.forEach((key, index) => {
    packed.set(key, index * keySizeBytes)
  })
  return packed
}
