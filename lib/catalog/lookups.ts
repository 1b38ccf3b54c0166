import type { HolderSample, TagLookup } from '../core/cluster.ts'
import type { Digest } from '../core/digest.ts'
import type { PeerId } from '../core/peer-id.ts'
import type { Rng } from '../core/ports.ts'
import { type TagPair, tagKey } from './elements.ts'
import { includesId } from './id-sets.ts'
import { countOf, type ReplicaState } from './replica-state.ts'

const keyBuffer = Buffer.alloc(32)

function idOf(state: ReplicaState, digest: Digest): number {
  keyBuffer.write(digest.slice(7), 'hex')
  return state.digests.table.find(keyBuffer)
}

const nobody: HolderSample = { holders: 0, peers: [] }

/** How many other live nodes hold a digest, and up to `limit` of them. */
export function findHolders(state: ReplicaState, digest: Digest, limit: number, rng: Rng): HolderSample {
  const id = idOf(state, digest)
  if (id < 0) return nobody
  const { origins, digests } = state
  const holders = digests.postings.countIn(id, origins.othersMask)
  if (holders === 0) return nobody
  const peers = digests.postings
    .sample(id, origins.othersMask, holders, limit, rng)
    .map((index) => origins.at(index).peerId)
  return { holders, peers }
}

/** Every live node that holds a digest, this one included. */
export function* liveHolders(state: ReplicaState, digest: Digest): Generator<PeerId> {
  const id = idOf(state, digest)
  if (id < 0) return
  for (const index of state.digests.postings.holders(id)) {
    const origin = state.origins.at(index)
    if (origin.live) yield origin.peerId
  }
}

/** What the live nodes, this one included, say that a tag points to. */
export function findTag(state: ReplicaState, repository: string, tag: string): TagLookup {
  const sides: { digest: Digest; holders: number }[] = []
  for (const id of state.tags.named(repository, tag)) {
    const holders = state.tags.postings.countIn(id, state.origins.liveMask)
    if (holders > 0) sides.push({ digest: state.tags.pair(id).digest, holders })
  }
  const [first] = sides
  if (first === undefined) return { state: 'unknown' }
  if (sides.length === 1) return { state: 'agreed', ...first }
  sides.sort((a, b) => b.holders - a.holders || (a.digest < b.digest ? -1 : 1))
  return { state: 'disputed', sides }
}

/** The tags of a repository that some live node announces, sorted. */
export function liveTags(state: ReplicaState, repository: string): string[] {
  const tags: string[] = []
  for (const tag of state.tags.tagsOf(repository)) {
    if (findTag(state, repository, tag).state !== 'unknown') tags.push(tag)
  }
  return tags.sort()
}

export function hasLiveTag(state: ReplicaState, repository: string): boolean {
  for (const tag of state.tags.tagsOf(repository)) {
    if (findTag(state, repository, tag).state !== 'unknown') return true
  }
  return false
}

/** The repositories with a tag that some live node announces, sorted. */
export function liveRepositories(state: ReplicaState): string[] {
  return [...state.tags.repositories()].filter((repository) => hasLiveTag(state, repository)).sort()
}

/** Each side of each tag that some live node announces, in no particular order. */
export function* livePairs(state: ReplicaState): Generator<TagPair> {
  for (const repository of state.tags.repositories()) {
    for (const tag of state.tags.tagsOf(repository)) {
      for (const id of state.tags.named(repository, tag)) {
        if (state.tags.postings.countIn(id, state.origins.liveMask) > 0) yield state.tags.pair(id)
      }
    }
  }
}

/** Distinct digests that some live node holds: those of masked nodes alone are few, so these are counted. */
export function liveDigestCount(state: ReplicaState): number {
  const lost = new Set<number>()
  for (const origin of state.origins.all()) {
    if (origin.live) continue
    for (const id of origin.sets.digests) {
      if (state.digests.postings.countIn(id, state.origins.liveMask) === 0) lost.add(id)
    }
  }
  return state.digests.table.size - lost.size
}

export function holdsDigest(state: ReplicaState, origin: PeerId, digest: Digest): boolean {
  const entry = state.origins.get(origin)
  const id = idOf(state, digest)
  return entry !== undefined && id >= 0 && includesId(state.digests.table, entry.sets.digests, id)
}

export function announcesTag(state: ReplicaState, origin: PeerId, pair: TagPair): boolean {
  const entry = state.origins.get(origin)
  const id = state.tags.table.find(tagKey(pair))
  return entry !== undefined && id >= 0 && includesId(state.tags.table, entry.sets.tags, id)
}

/** Bytes of the typed arrays of a replica, and what they hold. */
export function replicaSize(state: ReplicaState): { sizeBytes: number; digests: number; pairs: number } {
  let pairs = 0
  let inventories = 0
  for (const origin of state.origins.all()) {
    pairs += origin.sets.digests.length
    inventories += 4 * countOf(origin.sets) + (origin.buckets?.length ?? 0)
  }
  const sizeBytes = inventories + state.digests.sizeBytes + state.tags.sizeBytes
  return { sizeBytes, digests: state.digests.table.size, pairs }
}
