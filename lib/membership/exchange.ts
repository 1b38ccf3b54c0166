import { StarlingError } from '../core/errors.ts'
import { type Field, FieldWriter, readVersioned } from '../core/wire.ts'
import { type Claim, readClaim, writeClaim } from './messages.ts'
import { maxRecordSizeBytes, recordHashSizeBytes } from './record.ts'

/**
 * Frames of `/starling/membership/1`. `state` asks for all that is known, `push` tells what the other lacks, `records`
 * and `registries` fetch by hash. Kinds from 5 on are reserved: they are answered with nothing.
 */
export type ExchangeRequest =
  | { readonly kind: 'state' }
  | { readonly kind: 'push'; readonly claims: readonly Claim[] }
  | { readonly kind: 'records'; readonly hashes: readonly string[] }
  | { readonly kind: 'registries'; readonly hash: string }

/** A record with the proof that its node belongs to the cluster, both verbatim. */
export interface RecordWithProof {
  readonly record: Uint8Array
  readonly attestation: Uint8Array
}

/** Claims in one frame: about 50 KiB. */
export const maxClaimsPerFrame = 1000
/** Records in one request. */
export const maxRecordsPerRequest = 64
/** Records in one answer frame: each has up to 600 bytes and an attestation. */
export const recordsPerFrame = 8
export const maxAttestationSizeBytes = 16_384
export const maxRegistriesAnswerSizeBytes = 262_144
export const maxRegistries = 4096
/** Most bytes of an answer with the whole state of 50,000 members. */
export const maxStateAnswerSizeBytes = 4 * 2 ** 20

const kind = { state: 1, push: 2, records: 3, registries: 4 } as const
const field = { kind: 1, claim: 2, hash: 3, registry: 4, record: 5, attestation: 6 } as const

export function encodeRequest(request: ExchangeRequest): Uint8Array {
  const writer = new FieldWriter().uint(field.kind, kind[request.kind])
  if (request.kind === 'push') writer.messages(field.claim, request.claims, writeClaim)
  if (request.kind === 'records')
    for (const hash of request.hashes) writer.bytes(field.hash, Buffer.from(hash, 'hex'))
  if (request.kind === 'registries') writer.bytes(field.hash, Buffer.from(request.hash, 'hex'))
  return writer.finishVersioned()
}

/** Undefined for a reserved kind. @throws StarlingError WIRE_MALFORMED, FRAME_TOO_LARGE */
export function decodeRequest(frame: Uint8Array): ExchangeRequest | undefined {
  let code = 0
  const claims: Claim[] = []
  const hashes: string[] = []
  readVersioned(frame, (part) => {
    if (part.number === field.kind) code = part.uint()
    else if (part.number === field.claim) pushClaim(claims, part)
    else if (part.number === field.hash) hashes.push(Buffer.from(part.bytes(32)).toString('hex'))
    if (hashes.length > maxRecordsPerRequest) throw tooMany('hashes')
  })
  if (code === kind.state) return { kind: 'state' }
  if (code === kind.push) return { kind: 'push', claims }
  if (code === kind.records) {
    if (!hashes.every((hash) => hash.length === 2 * recordHashSizeBytes))
      throw new StarlingError('WIRE_MALFORMED', 'a record hash of another length')
    return { kind: 'records', hashes }
  }
  if (code !== kind.registries) return undefined
  const [hash] = hashes
  if (hash?.length !== 64) throw new StarlingError('WIRE_MALFORMED', 'a registry list is named by 32 bytes')
  return { kind: 'registries', hash }
}

/** An answer to `state`: any number of frames. */
export function* encodeClaims(claims: readonly Claim[]): Iterable<Uint8Array> {
  for (let start = 0; start === 0 || start < claims.length; start += maxClaimsPerFrame) {
    const chunk = claims.slice(start, start + maxClaimsPerFrame)
    yield new FieldWriter().messages(field.claim, chunk, writeClaim).finishVersioned()
  }
}

/** @throws StarlingError WIRE_MALFORMED, FRAME_TOO_LARGE */
export function decodeClaims(frame: Uint8Array): Claim[] {
  const claims: Claim[] = []
  readVersioned(frame, (part) => {
    if (part.number === field.claim) pushClaim(claims, part)
  })
  return claims
}

/** An answer to `records`, in frames of a bounded number. */
export function* encodeRecords(records: readonly RecordWithProof[]): Iterable<Uint8Array> {
  for (let start = 0; start < records.length; start += recordsPerFrame) {
    const writer = new FieldWriter()
    for (const { record, attestation } of records.slice(start, start + recordsPerFrame))
      writer.bytes(field.record, record).bytes(field.attestation, attestation)
    yield writer.finishVersioned()
  }
}

/** A record is followed by its attestation. @throws StarlingError WIRE_MALFORMED, FRAME_TOO_LARGE */
export function decodeRecords(frame: Uint8Array): RecordWithProof[] {
  const records: RecordWithProof[] = []
  let record: Uint8Array | undefined
  readVersioned(frame, (part) => {
    if (part.number === field.record) record = part.bytes(maxRecordSizeBytes)
    else if (part.number === field.attestation && record !== undefined) {
      records.push({ record, attestation: part.bytes(maxAttestationSizeBytes) })
      record = undefined
    }
    if (records.length > maxRecordsPerRequest) throw tooMany('records')
  })
  return records
}

/** @throws StarlingError FRAME_TOO_LARGE where the names have more than 256 KiB */
export function encodeRegistries(registries: readonly string[]): Uint8Array {
  const frame = new FieldWriter().strings(field.registry, registries).finishVersioned()
  if (frame.length > maxRegistriesAnswerSizeBytes || registries.length > maxRegistries)
    throw tooMany('registries')
  return frame
}

/** @throws StarlingError WIRE_MALFORMED, FRAME_TOO_LARGE */
export function decodeRegistries(frame: Uint8Array): string[] {
  const registries: string[] = []
  readVersioned(frame, (part) => {
    if (part.number === field.registry) registries.push(part.string(255))
    if (registries.length > maxRegistries) throw tooMany('registries')
  })
  return registries
}

function pushClaim(claims: Claim[], field: Field): void {
  if (claims.length >= maxClaimsPerFrame) throw tooMany('claims')
  const claim = readClaim(field)
  if (claim !== undefined) claims.push(claim)
}

function tooMany(what: string): StarlingError {
  return new StarlingError('FRAME_TOO_LARGE', `too many ${what} in one frame`)
}
