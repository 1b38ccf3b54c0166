import { StarlingError } from '../core/errors.ts'
import { isRegistryHost } from '../core/reference.ts'
import { FieldWriter, readFields, readVersioned } from '../core/wire.ts'
import { bucketCount } from './set-hash.ts'

/** The requests of the catalog protocol, one frame each. */

/** Most registries that a node tells or learns of. */
export const maxRegistries = 256

/** Most inventories that one request asks for. */
export const maxWants = 2048

const shortHashesSizeBytes = bucketCount * 8
export const shortIdSizeBytes = 8

/** An inventory that is asked for, and what is known of it, so that only what is newer and differs is sent. */
export interface Want {
  readonly shortId: string
  /** 0 where nothing is known. */
  readonly epoch: number
  readonly sequence: number
  /** Short hashes of the buckets that are known (see set-hash); undefined to get all of it. */
  readonly buckets: Uint8Array | undefined
  /** The signed checkpoint alone. */
  readonly proofOnly: boolean
}

/**
 * - `compare`: bucket hashes over what the sender knows of all origins; `answering` where the other's own comparison
 *   has brought this one about;
 * - `fetch`: inventories;
 * - `registries`: the registries that the sender mirrors, to be told the receiver's.
 */
export type SyncRequest =
  | {
      readonly kind: 'compare'
      readonly registry: string
      readonly origins: Uint8Array
      readonly answering: boolean
    }
  | { readonly kind: 'fetch'; readonly registry: string; readonly wants: readonly Want[] }
  | { readonly kind: 'registries'; readonly registries: readonly string[] }

const kinds = { compare: 1, fetch: 2, registries: 3 } as const

export function encodeRequest(request: SyncRequest): Uint8Array {
  const writer = new FieldWriter().uint(1, kinds[request.kind])
  switch (request.kind) {
    case 'compare':
      writer.string(2, request.registry).bytes(3, request.origins)
      if (request.answering) writer.bool(4, true)
      break
    case 'fetch':
      writer.string(2, request.registry).messages(5, request.wants, (want, { shortId, ...known }) => {
        want.bytes(1, Buffer.from(shortId, 'hex')).uint(2, known.epoch).uint(3, known.sequence)
        want.bytes(4, known.buckets)
        if (known.proofOnly) want.bool(5, true)
      })
      break
    case 'registries':
      writer.strings(6, request.registries)
  }
  return writer.finishVersioned()
}

/** Undefined for a kind of a later version. @throws StarlingError WIRE_MALFORMED */
export function decodeRequest(bytes: Uint8Array): SyncRequest | undefined {
  let kind = 0
  let registry = ''
  let origins: Uint8Array | undefined
  let answering = false
  const wants: Want[] = []
  const registries: string[] = []
  readVersioned(bytes, (field) => {
    if (field.number === 1) kind = field.uint()
    else if (field.number === 2) registry = field.string(255)
    else if (field.number === 3) origins = field.fixedBytes(shortHashesSizeBytes)
    else if (field.number === 4) answering = field.bool()
    else if (field.number === 5 && wants.length < maxWants) wants.push(readWant(field.bytes()))
    else if (field.number === 6) addRegistry(registries, field.string(255))
  })
  if (kind === kinds.registries) return { kind: 'registries', registries }
  if (kind === kinds.fetch) return { kind: 'fetch', registry, wants }
  if (kind !== kinds.compare) return undefined
  if (origins === undefined) throw new StarlingError('WIRE_MALFORMED', 'a comparison without hashes')
  return { kind: 'compare', registry, origins, answering }
}

function readWant(bytes: Uint8Array): Want {
  let shortId: string | undefined
  let epoch = 0
  let sequence = 0
  let buckets: Uint8Array | undefined
  let proofOnly = false
  readFields(bytes, (field) => {
    if (field.number === 1) shortId = readShortId(field.fixedBytes(shortIdSizeBytes))
    else if (field.number === 2) epoch = field.uint()
    else if (field.number === 3) sequence = field.uint()
    else if (field.number === 4) buckets = field.fixedBytes(shortHashesSizeBytes)
    else if (field.number === 5) proofOnly = field.bool()
  })
  if (shortId === undefined) throw new StarlingError('WIRE_MALFORMED', 'an inventory without its origin')
  return { shortId, epoch, sequence, buckets, proofOnly }
}

export function readShortId(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex')
}

/** Adds a registry's name; names that are none, and more than `maxRegistries`, are passed over. */
export function addRegistry(registries: string[], registry: string): void {
  if (registries.length < maxRegistries && isRegistryHost(registry)) registries.push(registry)
}
