import { type Digest, digestFromBytes, digestSizeBytes, digestToBytes } from '../../core/digest.ts'
import { StarlingError } from '../../core/errors.ts'
import type { WrongBytes } from '../../core/lookup.ts'
import { FieldWriter, readVersioned } from '../../core/wire.ts'
import { evidences } from './evidence.ts'

/** A notice that names a longer time is taken for this one. */
const maxNoticeMs = 30 * 86_400_000

/**
 * What a node tells the peer that it has put into quarantine, or taken out: about the receiver and nobody else, so that no node can
 * speak of a third one. The connection proves who tells it.
 */
export type QuarantineNotice =
  | {
      readonly kind: 'quarantined'
      readonly digest: Digest
      readonly evidence: WrongBytes['evidence']
      /** How long it goes on, in milliseconds. */
      readonly lengthMs: number
    }
  | { readonly kind: 'released' }

export function encodeNotice(notice: QuarantineNotice): Uint8Array {
  const writer = new FieldWriter()
  if (notice.kind === 'released') return writer.uint(1, 2).finishVersioned()
  return writer
    .uint(1, 1)
    .bytes(2, digestToBytes(notice.digest))
    .string(3, notice.evidence)
    .uint(4, Math.max(0, Math.round(notice.lengthMs)))
    .finishVersioned()
}

/** @throws StarlingError WIRE_MALFORMED */
export function decodeNotice(bytes: Uint8Array): QuarantineNotice {
  let kind = 0
  let digest: Digest | undefined
  let said = ''
  let lengthMs = 0
  readVersioned(bytes, (field) => {
    if (field.number === 1) kind = field.uint()
    else if (field.number === 2) digest = digestFromBytes(field.fixedBytes(digestSizeBytes))
    else if (field.number === 3) said = field.string(32)
    else if (field.number === 4) lengthMs = field.uint()
  })
  if (kind === 2) return { kind: 'released' }
  // A later version may know other evidence.
  const evidence = evidences.find((known) => known === said) ?? 'copy'
  if (kind !== 1 || digest === undefined) throw new StarlingError('WIRE_MALFORMED', 'the notice has no sense')
  return { kind: 'quarantined', digest, evidence, lengthMs: Math.min(lengthMs, maxNoticeMs) }
}
