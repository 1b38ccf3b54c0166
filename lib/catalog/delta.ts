import { publicKeySizeBytes } from '../core/peer-id.ts'
import { FieldWriter, readVersioned, wireVersion } from '../core/wire.ts'
import { type Checkpoint, readCheckpoint, writeCheckpoint } from './checkpoint.ts'
import { checkPacked, readTagPair, tagPairSizeBytes, writeTagPair } from './element-codec.ts'
import type { ElementChange, TagPair } from './elements.ts'

/** Most bytes of a broadcast message. */
export const maxDeltaSizeBytes = 65_536

/** Room for changes in a delta: what is left beside registry, checkpoint and headers. */
export const deltaContentBytes = maxDeltaSizeBytes - 1024

/**
 * A broadcast message of an origin. A delta leads from the inventory at the sequence before to the one that the
 * checkpoint describes; with sequence 1 it starts from nothing. A bare checkpoint tells no changes: whoever has the
 * same set takes it over, all others ask for what they lack.
 */
export interface Delta {
  readonly registry: string
  /** Raw Ed25519 public key. */
  readonly origin: Uint8Array
  readonly checkpoint: Checkpoint
  readonly change: ElementChange | undefined
}

const kinds = { delta: 1, checkpoint: 2 } as const

/** Bytes that a change takes in a delta, at most. */
export function changeSizeBytes(change: ElementChange): number {
  const tags = change.addTags.reduce((total, pair) => total + tagPairSizeBytes(pair), 0)
  return change.addDigests.length + change.removeDigests.length + change.removeTags.length + tags + 32
}

export function encodeDelta(delta: Delta): Uint8Array {
  const writer = new FieldWriter()
    .uint(1, delta.change === undefined ? kinds.checkpoint : kinds.delta)
    .string(2, delta.registry)
    .bytes(3, delta.origin)
    .messages(4, [delta.checkpoint], writeCheckpoint)
  if (delta.change !== undefined) {
    const { addDigests, removeDigests, addTags, removeTags } = delta.change
    const some = (keys: Uint8Array) => (keys.length === 0 ? undefined : keys)
    writer
      .bytes(5, some(addDigests))
      .bytes(6, some(removeDigests))
      .messages(7, addTags, writeTagPair)
      .bytes(8, some(removeTags))
  }
  return writer.finishVersioned()
}

/**
 * `reserved` is a message of a later version or kind: neither used nor held against anybody.
 * @throws StarlingError WIRE_MALFORMED
 */
export function decodeDelta(bytes: Uint8Array): Delta | 'reserved' | 'malformed' {
  if (bytes.length > 0 && bytes[0] !== wireVersion) return 'reserved'
  let kind = 0
  let registry = ''
  let origin: Uint8Array | undefined
  let checkpoint: Checkpoint | undefined
  const none: Uint8Array = new Uint8Array(0)
  let addDigests = none
  let removeDigests = none
  let removeTags = none
  const addTags: TagPair[] = []
  readVersioned(bytes, (field) => {
    if (field.number === 1) kind = field.uint()
    else if (field.number === 2) registry = field.string(255)
    else if (field.number === 3) origin = field.fixedBytes(publicKeySizeBytes)
    else if (field.number === 4) checkpoint = readCheckpoint(field.bytes())
    else if (field.number === 5) addDigests = checkPacked(field.bytes())
    else if (field.number === 6) removeDigests = checkPacked(field.bytes())
    else if (field.number === 7) addTags.push(readTagPair(field.bytes()))
    else if (field.number === 8) removeTags = checkPacked(field.bytes())
  })
  if (kind !== kinds.delta && kind !== kinds.checkpoint) return kind === 0 ? 'malformed' : 'reserved'
  if (registry === '' || origin === undefined || checkpoint === undefined) return 'malformed'
  const change = kind === kinds.delta ? { addDigests, removeDigests, addTags, removeTags } : undefined
  return { registry, origin, checkpoint, change }
}
