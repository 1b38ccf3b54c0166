import type { Candidate } from '../../core/lookup.ts'
import type { Member } from '../../core/peer.ts'

/** A member as the data plane needs it. */
export function toCandidate(member: Member): Candidate {
  const { record } = member
  return {
    peer: {
      peerId: record.peerId,
      name: record.name,
      addresses: record.p2p.map((endpoint) => endpoint.host),
      registryPort: record.registryPort,
      certificateKeyHash: Buffer.from(record.certificateKeyHash).toString('hex'),
    },
    reach: 'complete',
  }
}
