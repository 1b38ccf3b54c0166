import { type Digest, digestFromBytes, digestToBytes } from '../core/digest.ts'
import type { PeerId } from '../core/peer-id.ts'
import { keySizeBytes } from './elements.ts'
import { maskHas } from './postings.ts'
import type { ReplicaState } from './replica-state.ts'

/** The live nodes, this one included, that hold every digest of at least one of the ways. */
export function holdersOfAny(state: ReplicaState, ways: readonly (readonly Digest[])[]): PeerId[] {
  const whole = new Uint16Array(state.origins.liveMask.length)
  for (const way of ways) {
    const mask = maskOfAll(state, way)
    for (let word = 0; word < mask.length; word += 1) whole[word]! |= mask[word]!
  }
  const peers: PeerId[] = []
  for (const origin of state.origins.all()) if (maskHas(whole, origin.index)) peers.push(origin.peerId)
  return peers
}

function maskOfAll(state: ReplicaState, digests: readonly Digest[]): Uint16Array {
  const mask = state.origins.liveMask.slice()
  for (const digest of digests) {
    const id = state.digests.table.find(digestToBytes(digest))
    if (id < 0) return mask.fill(0)
    state.digests.postings.keepHolders(id, mask)
  }
  return mask
}

/** What a node holds that no other live node does, in the order of the digests. */
export function* soleDigests(state: ReplicaState, holder: PeerId): Generator<Digest> {
  const entry = state.origins.get(holder)
  if (entry === undefined) return
  const { table, postings } = state.digests
  const others = state.origins.liveMask.slice()
  others[entry.index >>> 4]! &= ~(1 << (entry.index & 15))
  const key = new Uint8Array(keySizeBytes)
  const view = new DataView(key.buffer)
  for (const id of entry.sets.digests) {
    if (postings.countIn(id, others) > 0) continue
    table.copyKey(id, view, 0)
    yield digestFromBytes(key)
  }
}
