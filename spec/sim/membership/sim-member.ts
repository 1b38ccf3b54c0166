import type { KeyObject } from 'node:crypto'
import type { Endpoint } from '../../../lib/core/peer.ts'
import type { PeerId } from '../../../lib/core/peer-id.ts'
import type { MembershipMachine } from '../../../lib/membership/machine.ts'
import { hashRegistries, type SignedRecord, signRecord } from '../../../lib/membership/record.ts'
import { simIdentity } from '../identity.ts'

/** One node of a simulation: what survives its lives, and the machine of the present one. */
export interface SimMember {
  readonly name: string
  readonly number: number
  readonly key: KeyObject
  readonly peerId: PeerId
  readonly endpoint: Endpoint
  readonly zone: string
  machine: MembershipMachine
  sequence: number
  /** What survives on its disk. */
  incarnation: number
}

const noRegistries = hashRegistries([])
const noKey = new Uint8Array(32)

/** A member without a machine; it gets one at its first boot. */
export function makeMember(seed: number, name: string, number: number, zone: string): SimMember {
  const { peerId, privateKey: key } = simIdentity(`${seed} ${name}`)
  const endpoint = { host: `10.${number >> 16}.${(number >> 8) & 255}.${number & 255}`, port: 5001 }
  const machine = undefined as unknown as MembershipMachine
  return { name, number, key, peerId, endpoint, zone, machine, sequence: 0, incarnation: 0 }
}

/** What it says of itself now, by the name that it shows. */
export function signMember(member: SimMember, shownName: string): SignedRecord {
  const { peerId, sequence, endpoint, zone, key } = member
  const record = {
    peerId,
    sequence,
    name: shownName,
    p2p: [endpoint],
    registryPort: 6443,
    zone,
    role: 'agent',
    version: '0.1.0',
    registriesCount: 0,
    registriesHash: noRegistries,
    certificateKeyHash: noKey,
  }
  return signRecord(record, key)
}
