import { createHash, timingSafeEqual } from 'node:crypto'
import { StarlingError } from '../core/errors.ts'
import { FieldWriter, readVersioned } from '../core/wire.ts'
import { maxAttestationSizeBytes } from './attestation.ts'

const checksumSizeBytes = 32
const attestationField = 1

/** Attestations as they are kept on disk: SHA-256 of the rest, version byte, one field each. */
export function encodeAttestationList(list: Iterable<Uint8Array>): Uint8Array {
  const writer = new FieldWriter()
  for (const bytes of list) writer.bytes(attestationField, bytes)
  const body = writer.finishVersioned()
  return Buffer.concat([checksumOf(body), body])
}

/**
 * The attestations, unchecked; views into the input.
 * @throws StarlingError WIRE_MALFORMED where the checksum does not fit or there are more than `maxEntries`
 */
export function decodeAttestationList(bytes: Uint8Array, maxEntries: number): Uint8Array[] {
  const checksum = bytes.subarray(0, checksumSizeBytes)
  const body = bytes.subarray(checksumSizeBytes)
  if (checksum.length < checksumSizeBytes || !timingSafeEqual(checksum, checksumOf(body))) {
    throw new StarlingError('WIRE_MALFORMED', 'the checksum does not fit')
  }
  const list: Uint8Array[] = []
  readVersioned(body, (field) => {
    if (field.number !== attestationField) return
    if (list.length === maxEntries)
      throw new StarlingError('WIRE_MALFORMED', `more than ${maxEntries} entries`)
    list.push(field.bytes(maxAttestationSizeBytes))
  })
  return list
}

function checksumOf(body: Uint8Array): Buffer {
  return createHash('sha256').update(body).digest()
}
