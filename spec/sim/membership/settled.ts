import type { Rng } from '../../../lib/core/ports.ts'
import type { MemberDirectory } from '../../../lib/membership/directory.ts'
import { MembershipMachine } from '../../../lib/membership/machine.ts'
import { encodeMessage, messageType } from '../../../lib/membership/messages.ts'
import type { SignedRecord } from '../../../lib/membership/record.ts'
import { defaultSettings } from '../../../lib/membership/settings.ts'
import { type StateCode, stateCode } from '../../../lib/membership/states.ts'

/**
 * A machine that others can be made like, so that ten thousand of them needn't learn of each other one by one: the
 * first of `alive` knows them all, and holds `dead` for dead. All of it is told to the machine, nothing is written into it.
 */
export function settledMachine(
  parts: { directory: MemberDirectory; rng: Rng },
  alive: readonly [SignedRecord, ...SignedRecord[]],
  dead: readonly SignedRecord[],
): MembershipMachine {
  const [self] = alive
  const machine = new MembershipMachine({ self, incarnation: 1, ...parts })
  const claimOf = ({ shortId, hash }: SignedRecord, state: StateCode) => ({
    shortId,
    hash,
    incarnation: 1,
    state,
  })
  for (const signed of [...alive.slice(1), ...dead]) {
    const claims = [claimOf(signed, stateCode.alive)]
    machine.step({ type: 'claims', from: self.record.peerId, claims }, 0)
    machine.step({ type: 'record', signed }, 0)
  }
  const { record, hash } = alive[1] ?? self
  const most = defaultSettings.maxRumoursPerPacket
  for (let start = 0; start < dead.length; start += most) {
    const claims = dead.slice(start, start + most).map((signed) => claimOf(signed, stateCode.dead))
    const body = encodeMessage({ type: messageType.gossip, sequence: 0, incarnation: 1, hash, claims })
    machine.step({ type: 'message', from: record.peerId, body, replyTo: undefined }, 0)
  }
  return machine
}
