import { deflateRawSync, inflateRawSync } from 'node:zlib'
import { StarlingError } from '../core/errors.ts'
import { FieldWriter, readFields, readVersioned } from '../core/wire.ts'
import { type Checkpoint, readCheckpoint, writeCheckpoint } from './checkpoint.ts'
import { checkPacked, readTagPair, writeTagPair } from './element-codec.ts'
import type { TagPair } from './elements.ts'
import { addRegistry, readShortId, shortIdSizeBytes } from './sync-request.ts'

/** The answers of the catalog protocol: any number of frames, each at most this large. */
export const maxSyncFrameBytes = 65_536

export const setHashPrefixBytes = 8

/** Fewer pairs travel as they are. */
const deflateFrom = 8
/** A frame is filled by what its pairs take when they are not deflated. */
const maxInflatedBytes = 2 * maxSyncFrameBytes

/** What a node knows of one origin, unproven: enough to see whether it is worth asking for. */
export interface OriginSummary {
  readonly shortId: string
  readonly epoch: number
  readonly sequence: number
  /** The first 8 bytes of it. */
  readonly setHashPrefix: Uint8Array
  readonly count: number
}

/**
 * - `comparison`: what the answerer knows of the origins in buckets that differ; `mirrored` is false where it knows
 *   nothing of the registry;
 * - `inventory`: a signed checkpoint, and which buckets of the inventory follow (undefined: all);
 * - `elements`: a part of the content of the inventory named last, digests first; `last` ends it;
 * - `registries`: what the answerer mirrors.
 */
export type SyncAnswer =
  | { readonly kind: 'comparison'; readonly mirrored: boolean; readonly origins: readonly OriginSummary[] }
  | {
      readonly kind: 'inventory'
      readonly shortId: string
      readonly checkpoint: Checkpoint
      readonly buckets: readonly number[] | undefined
    }
  | {
      readonly kind: 'elements'
      readonly digests: Uint8Array
      readonly tags: readonly TagPair[]
      readonly last: boolean
    }
  | { readonly kind: 'registries'; readonly registries: readonly string[] }

const kinds = { comparison: 1, inventory: 2, elements: 3, registries: 4 } as const

export function encodeAnswer(answer: SyncAnswer): Uint8Array {
  const writer = new FieldWriter().uint(1, kinds[answer.kind])
  switch (answer.kind) {
    case 'comparison':
      writer.bool(2, answer.mirrored).messages(3, answer.origins, (summary, origin) => {
        summary
          .bytes(1, Buffer.from(origin.shortId, 'hex'))
          .uint(2, origin.epoch)
          .uint(3, origin.sequence)
          .bytes(4, origin.setHashPrefix)
          .uint(5, origin.count)
      })
      break
    case 'inventory':
      writer.bytes(4, Buffer.from(answer.shortId, 'hex')).messages(5, [answer.checkpoint], writeCheckpoint)
      if (answer.buckets !== undefined) writer.bytes(6, Uint8Array.from(answer.buckets))
      break
    case 'elements':
      if (answer.digests.length > 0) writer.bytes(7, answer.digests)
      writeTags(writer, answer.tags)
      if (answer.last) writer.bool(9, true)
      break
    case 'registries':
      writer.strings(10, answer.registries)
  }
  return writer.finishVersioned()
}

/** Names repeat, so many pairs travel deflated (RFC 1951); digests don't shrink. */
function writeTags(writer: FieldWriter, tags: readonly TagPair[]): void {
  if (tags.length < deflateFrom) writer.messages(8, tags, writeTagPair)
  else
    writer.bytes(11, deflateRawSync(new FieldWriter().messages(1, tags, writeTagPair).finish(), { level: 1 }))
}

function inflateTags(bytes: Uint8Array): TagPair[] {
  let fields: Uint8Array
  try {
    fields = inflateRawSync(bytes, { maxOutputLength: maxInflatedBytes })
  } catch (cause) {
    throw new StarlingError('WIRE_MALFORMED', 'deflated tags cannot be inflated within their bound', {
      cause,
    })
  }
  const tags: TagPair[] = []
  readFields(fields, (field) => {
    if (field.number === 1) tags.push(readTagPair(field.bytes()))
  })
  return tags
}

/** Undefined for a kind of a later version. @throws StarlingError WIRE_MALFORMED */
export function decodeAnswer(bytes: Uint8Array): SyncAnswer | undefined {
  let kind = 0
  let mirrored = false
  const origins: OriginSummary[] = []
  let shortId: string | undefined
  let checkpoint: Checkpoint | undefined
  let buckets: number[] | undefined
  let digests: Uint8Array = new Uint8Array(0)
  const tags: TagPair[] = []
  let last = false
  const registries: string[] = []
  readVersioned(bytes, (field) => {
    if (field.number === 1) kind = field.uint()
    else if (field.number === 2) mirrored = field.bool()
    else if (field.number === 3) origins.push(readSummary(field.bytes()))
    else if (field.number === 4) shortId = readShortId(field.fixedBytes(shortIdSizeBytes))
    else if (field.number === 5) checkpoint = readCheckpoint(field.bytes())
    else if (field.number === 6) buckets = [...field.bytes(64)].filter((bucket) => bucket < 64)
    else if (field.number === 7) digests = checkPacked(field.bytes())
    else if (field.number === 8) tags.push(readTagPair(field.bytes()))
    else if (field.number === 11) for (const pair of inflateTags(field.bytes())) tags.push(pair)
    else if (field.number === 9) last = field.bool()
    else if (field.number === 10) addRegistry(registries, field.string(255))
  })
  if (kind === kinds.comparison) return { kind: 'comparison', mirrored, origins }
  if (kind === kinds.elements) return { kind: 'elements', digests, tags, last }
  if (kind === kinds.registries) return { kind: 'registries', registries }
  if (kind !== kinds.inventory) return undefined
  if (shortId === undefined || checkpoint === undefined) {
    throw new StarlingError('WIRE_MALFORMED', 'an inventory without origin or checkpoint')
  }
  return { kind: 'inventory', shortId, checkpoint, buckets }
}

function readSummary(bytes: Uint8Array): OriginSummary {
  let shortId: string | undefined
  let epoch = 0
  let sequence = 0
  let setHashPrefix: Uint8Array | undefined
  let count = 0
  readFields(bytes, (field) => {
    if (field.number === 1) shortId = readShortId(field.fixedBytes(shortIdSizeBytes))
    else if (field.number === 2) epoch = field.uint()
    else if (field.number === 3) sequence = field.uint()
    else if (field.number === 4) setHashPrefix = field.fixedBytes(setHashPrefixBytes)
    else if (field.number === 5) count = field.uint()
  })
  if (shortId === undefined || setHashPrefix === undefined) {
    throw new StarlingError('WIRE_MALFORMED', 'a summary without origin or set hash')
  }
  return { shortId, epoch, sequence, setHashPrefix, count }
}
