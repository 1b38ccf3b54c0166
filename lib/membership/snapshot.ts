import { hash } from 'node:crypto'
import { StarlingError } from '../core/errors.ts'
import { FieldWriter, readFields, readVersioned } from '../core/wire.ts'
import { maxAttestationSizeBytes, type RecordWithProof } from './exchange.ts'
import { maxRecordSizeBytes } from './record.ts'

/** What a node remembers of its cluster across a restart. */
export interface MembershipSnapshot {
  /** Of its last own record. */
  readonly sequence: number
  readonly incarnation: number
  readonly members: readonly RecordWithProof[]
}

/** Enough to find the cluster again; the rest is told by whoever is found. */
export const maxSnapshotMembers = 2048
/** Larger files are not ours. */
export const maxSnapshotSizeBytes = maxSnapshotMembers * (maxRecordSizeBytes + maxAttestationSizeBytes + 16)

const checksumSizeBytes = 32
const field = { sequence: 1, incarnation: 2, member: 3 } as const
const memberField = { record: 1, attestation: 2 } as const

/** SHA-256 of the rest, then the rest. */
export function encodeSnapshot(snapshot: MembershipSnapshot): Uint8Array {
  const body = new FieldWriter()
    .uint(field.sequence, snapshot.sequence)
    .uint(field.incarnation, snapshot.incarnation)
    .messages(field.member, snapshot.members.slice(0, maxSnapshotMembers), (writer, member) =>
      writer.bytes(memberField.record, member.record).bytes(memberField.attestation, member.attestation),
    )
    .finishVersioned()
  return Buffer.concat([hash('sha256', body, 'buffer'), body])
}

/** @throws StarlingError WIRE_MALFORMED where the checksum or the encoding is wrong */
export function decodeSnapshot(bytes: Uint8Array): MembershipSnapshot {
  const body = bytes.subarray(checksumSizeBytes)
  const sum = bytes.subarray(0, checksumSizeBytes)
  if (sum.length < checksumSizeBytes || !hash('sha256', body, 'buffer').equals(sum))
    throw new StarlingError('WIRE_MALFORMED', 'the checksum is wrong')
  let sequence = 0
  let incarnation = 0
  const members: RecordWithProof[] = []
  readVersioned(body, (part) => {
    if (part.number === field.sequence) sequence = part.uint()
    else if (part.number === field.incarnation) incarnation = part.uint()
    else if (part.number === field.member && members.length < maxSnapshotMembers)
      members.push(readMember(part.bytes()))
  })
  return { sequence, incarnation, members }
}

function readMember(bytes: Uint8Array): RecordWithProof {
  let record: Uint8Array | undefined
  let attestation: Uint8Array | undefined
  readFields(bytes, (part) => {
    if (part.number === memberField.record) record = part.bytes(maxRecordSizeBytes)
    else if (part.number === memberField.attestation) attestation = part.bytes(maxAttestationSizeBytes)
  })
  if (record === undefined || attestation === undefined)
    throw new StarlingError('WIRE_MALFORMED', 'a remembered member lacks a part')
  return { record, attestation }
}
