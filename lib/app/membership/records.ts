import { describeError } from '../../core/errors.ts'
import type { AttestationRegistry } from '../../core/messaging.ts'
import type { PeerId } from '../../core/peer-id.ts'
import type { Logger, Metrics } from '../../core/ports.ts'
import type { RecordWithProof } from '../../membership/exchange.ts'
import { readRecord, type SignedRecord } from '../../membership/record.ts'

/**
 * Checks a record that somebody passed on: its signature, that its node is attested, and that both name the same
 * certificate key. Undefined, with a log line and a metric, where it is refused.
 */
export function admitRecord(
  given: RecordWithProof,
  parts: { attestations: AttestationRegistry; self: PeerId; logger: Logger; metrics: Metrics },
): SignedRecord | undefined {
  const { attestations, logger, metrics } = parts
  const refuse = (reason: string, fields: object): undefined => {
    metrics.count('starling_membership_records_refused_total', { reason })
    logger.warn({ reason, ...fields }, 'a member record is refused')
    return undefined
  }
  let signed: SignedRecord
  try {
    signed = readRecord(given.record)
  } catch (error) {
    return refuse('malformed', { detail: describeError(error) })
  }
  const { peerId, certificateKeyHash, name } = signed.record
  if (peerId === parts.self) return signed
  const isSameKey = (key: Uint8Array) => Buffer.compare(key, certificateKeyHash) === 0
  let attestation = attestations.get(peerId)
  // A renewed certificate may have the key of the old one, and outlives it and its CA.
  if (attestation === undefined || Buffer.compare(attestation.bytes, given.attestation) !== 0) {
    const known = attestation
    attestation = attestations.admit(given.attestation)
    if (attestation?.peerId !== peerId && known !== undefined && isSameKey(known.certificateKeyHash))
      attestation = known
  }
  if (attestation?.peerId !== peerId || !attestations.isAttested(peerId))
    return refuse('unattested', { peerId, name })
  if (!isSameKey(attestation.certificateKeyHash)) return refuse('certificate-key', { peerId, name })
  return signed
}
