import { generateKeyPairSync, hash } from 'node:crypto'
import { hashBuckets } from '../../lib/catalog/id-sets.ts'
import { createReplicaState, type ReplicaState } from '../../lib/catalog/replica-state.ts'
import { allBuckets, setHashOf } from '../../lib/catalog/set-hash.ts'
import { type Digest, digestFromBytes } from '../../lib/core/digest.ts'
import { type PeerId, peerIdFromPublicKey } from '../../lib/core/peer-id.ts'
import type { Rng } from '../../lib/core/ports.ts'

/** A replica of many nodes with the overlap that clusters have. */
export interface Population {
  readonly state: ReplicaState
  readonly digests: readonly Digest[]
  readonly peers: readonly PeerId[]
  /** The longest time that one node's inventory took to be put in, milliseconds. */
  readonly longestMs: number
}

function realPeerId(): PeerId {
  const { publicKey } = generateKeyPairSync('ed25519')
  return peerIdFromPublicKey(Buffer.from(publicKey.export({ format: 'jwk' }).x ?? '', 'base64url'))
}

/**
 * `origins` nodes with `perOrigin` digests each: a fifth are of base images that nine nodes in ten hold, the rest is
 * drawn from a pool with Zipf's law (exponent 0.9), so that a few are common and most are on one or two nodes.
 */
export function populate(origins: number, perOrigin: number, rng: Rng): Population {
  const state = createReplicaState('registry.example.com', realPeerId(), Math.floor(rng.next() * 2 ** 32))
  const common = Math.floor(perOrigin / 5)
  const pool = Math.max(perOrigin * 4, Math.floor((origins * perOrigin) / 5))
  const keys = Buffer.alloc((common + pool) * 32)
  for (let key = 0; key < common + pool; key += 1) {
    keys.set(hash('sha256', `blob ${key}`, 'buffer'), key * 32)
  }
  const used = new Set<number>()
  const peers: PeerId[] = []
  let longestMs = 0
  for (let origin = 0; origin < origins; origin += 1) {
    const chosen = new Set<number>()
    for (let base = 0; base < common; base += 1) if (rng.next() < 0.9) chosen.add(base)
    while (chosen.size < perOrigin) chosen.add(common + zipf(pool, 0.9, rng))
    const peerId = realPeerId()
    peers.push(peerId)
    const entry = state.origins.add(peerId)!
    const startedMs = performance.now()
    state.origins.setLive(entry, true)
    const ids: number[] = []
    for (const key of chosen) {
      used.add(key)
      const id = state.digests.table.intern(keys, key * 32)
      state.digests.postings.add(id, entry.index)
      ids.push(id)
    }
    ids.sort((a, b) => state.digests.table.compare(a, b))
    entry.sets = { digests: Uint32Array.from(ids), tags: entry.sets.tags }
    longestMs = Math.max(longestMs, performance.now() - startedMs)
    entry.checkpoint = {
      epoch: 1,
      sequence: 1,
      setHash: setHashOf(hashBuckets(state.tables, entry.sets, allBuckets)),
      count: ids.length,
      signature: new Uint8Array(64),
    }
  }
  const digests = [...used].map((key) => digestFromBytes(keys.subarray(key * 32, key * 32 + 32)))
  return { state, digests, peers, longestMs }
}

/** A rank from 0 to `size` - 1 by the inverse of the continuous Zipf distribution. */
function zipf(size: number, exponent: number, rng: Rng): number {
  const power = 1 - exponent
  const rank = (rng.next() * (size ** power - 1) + 1) ** (1 / power)
  return Math.min(size - 1, Math.floor(rank) - 1)
}
