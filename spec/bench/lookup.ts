import { hash } from 'node:crypto'
import { applyDelta } from '../../lib/catalog/apply-delta.ts'
import { changeIds, hashBuckets } from '../../lib/catalog/id-sets.ts'
import { installInventory } from '../../lib/catalog/install.ts'
import { findHolders, replicaSize } from '../../lib/catalog/lookups.ts'
import type { ReplicaState } from '../../lib/catalog/replica-state.ts'
import { allBuckets, setHashOf } from '../../lib/catalog/set-hash.ts'
import { forgetOrigin, type Steps } from '../../lib/catalog/transition.ts'
import type { Digest } from '../../lib/core/digest.ts'
import type { Rng } from '../../lib/core/ports.ts'
import { seededRng } from '../sim/random.ts'
import type { Benchmark } from './benchmark.ts'
import { populate } from './lookup-population.ts'

const origins = 5000
const perOrigin = 1000
const sampleLimit = 8

/** Times of single calls in microseconds: median, p99 and the longest. */
function percentiles(times: Float64Array): [number, number, number] {
  times.sort()
  const at = (share: number) => Number((times[Math.floor((times.length - 1) * share)] ?? 0).toFixed(2))
  return [at(0.5), at(0.99), at(1)]
}

function timeLookups(
  state: ReplicaState,
  digests: readonly Digest[],
  lookups: number,
  rng: Rng,
): Float64Array {
  const times = new Float64Array(lookups)
  let checksum = 0
  for (let round = 0; round < lookups; round += 1) {
    const digest = digests[Math.floor(rng.next() * digests.length)]!
    // A request has just been read, so its digest is in the processor's cache, unlike one of 700,000 in a list.
    checksum += digest.charCodeAt(8) + digest.charCodeAt(70)
    const startedNs = process.hrtime.bigint()
    findHolders(state, digest, sampleLimit, rng)
    times[round] = Number(process.hrtime.bigint() - startedNs) / 1000
  }
  if (checksum === 0) throw new Error('no digest was looked up')
  return times
}

/** Each delta of 50 digests on a random origin, with its set hash; the signature is not counted here. */
function timeDeltas(state: ReplicaState, rounds: number, rng: Rng): Float64Array {
  const times = new Float64Array(rounds)
  const entries = [...state.origins.all()].filter((entry) => entry.checkpoint !== undefined)
  for (let round = 0; round < rounds; round += 1) {
    const entry = entries[Math.floor(rng.next() * entries.length)]!
    const addDigests = Buffer.concat(
      Array.from({ length: 50 }, (_, index) => hash('sha256', `new ${round} ${index}`, 'buffer')),
    )
    const ids = Array.from({ length: 50 }, (_, index) => state.digests.table.intern(addDigests, index * 32))
    const sets = {
      ...entry.sets,
      digests: changeIds(state.digests.table, entry.sets.digests, ids, new Set()),
    }
    const setHash = setHashOf(hashBuckets(state.tables, sets, allBuckets))
    for (const id of ids) state.digests.freeUnheld(id)
    const known = entry.checkpoint!
    const next = { ...known, sequence: known.sequence + 1, setHash, count: known.count + 50 }
    const none = new Uint8Array(0)
    const change = { addDigests, removeDigests: none, addTags: [], removeTags: none }
    const startedMs = performance.now()
    const outcome = applyDelta(state, entry, next, change)
    times[round] = (performance.now() - startedMs) * 1000
    if (outcome !== 'applied') throw new Error(`a delta of the benchmark was ${outcome}`)
  }
  return times
}

/** The longest of the steps in which inventories are forgotten and put in again, microseconds: others wait no longer. */
function timeSteps(state: ReplicaState, origins: number): Float64Array {
  const times: number[] = []
  const run = <T>(steps: Steps<T>): T => {
    for (;;) {
      const startedMs = performance.now()
      const step = steps.next()
      times.push((performance.now() - startedMs) * 1000)
      if (step.done === true) return step.value
    }
  }
  for (const entry of [...state.origins.all()]
    .filter((each) => each.checkpoint !== undefined)
    .slice(0, origins)) {
    const { peerId } = entry
    const checkpoint = entry.checkpoint!
    const digests = new Uint8Array(entry.sets.digests.length * 32)
    const view = new DataView(digests.buffer)
    entry.sets.digests.forEach((id, index) => {
      state.digests.table.copyKey(id, view, index * 32)
    })
    run(forgetOrigin(state, entry))
    const again = state.origins.add(peerId)!
    state.origins.setLive(again, true)
    const content = { digests, tags: [], buckets: undefined }
    const outcome = run(installInventory(state, again, checkpoint, content, undefined))
    if (outcome !== 'installed') throw new Error(`an inventory of the benchmark was ${outcome}`)
  }
  return Float64Array.from(times)
}

/** The catalog's replica at the size of DESIGN §8: lookup, update and memory. */
export const lookup: Benchmark = {
  name: 'lookup',
  title: `Catalog: ${origins} nodes × ${perOrigin} digests`,
  async run(log, { quick }) {
    const lookups = quick ? 20_000 : 200_000
    const rng = seededRng(2024)
    log(`filling a replica with ${origins} × ${perOrigin} digests`)
    const { state, digests, peers, longestMs } = populate(origins, perOrigin, rng)
    const size = replicaSize(state)
    const bytesOfDigests = state.digests.table.sizeBytes
    const pairBytes = size.sizeBytes - bytesOfDigests
    const base = digests.slice(0, perOrigin / 5)
    timeLookups(state, digests, lookups, rng)
    const every = percentiles(timeLookups(state, digests, lookups, rng))
    const common = percentiles(timeLookups(state, base, lookups, rng))
    const missing = Array.from(
      { length: 1000 },
      (_, index) => `sha256:${hash('sha256', `missing ${index}`)}` as Digest,
    )
    const misses = percentiles(timeLookups(state, missing, lookups, rng))
    for (const peer of peers.slice(0, 500)) state.origins.setLive(state.origins.get(peer)!, false)
    const masked = percentiles(timeLookups(state, base, lookups, rng))
    const steps = percentiles(timeSteps(state, quick ? 50 : 500))
    const deltas = percentiles(timeDeltas(state, 1000, rng))
    return {
      columns: ['what', 'median', 'p99', 'longest', 'unit'],
      rows: [
        ['lookup of any digest', ...every, 'µs'],
        ['lookup of a base digest (most nodes hold it)', ...common, 'µs'],
        ['the same with a tenth of the nodes masked', ...masked, 'µs'],
        ['lookup of an unknown digest', ...misses, 'µs'],
        ['delta of 50 digests, applied and proven', ...deltas, 'µs'],
        ['one step of forgetting or putting in an inventory', ...steps, 'µs'],
        ['one inventory put in', '', '', Number(longestMs.toFixed(2)), 'ms'],
        ['distinct digests', size.digests, '', '', ''],
        ['(digest, holder) pairs', size.pairs, '', '', ''],
        ['for a pair', Number((pairBytes / size.pairs).toFixed(2)), '', '', 'bytes'],
        ['for a distinct digest', Number((bytesOfDigests / size.digests).toFixed(2)), '', '', 'bytes'],
        ['typed arrays in all', Number((size.sizeBytes / 2 ** 20).toFixed(1)), '', '', 'MiB'],
      ],
      notes: [
        `${lookups} lookups a row after as many to warm up, each timed alone and sampling up to ${sampleLimit} holders; an empty measurement takes about 0.1 µs.`,
        'A fifth of each inventory are base images that nine nodes in ten hold, the rest follows Zipf (0.9).',
        'Bytes for a pair are postings, inventories and cached bucket hashes; for a digest its row and its place in the hash table.',
      ],
    }
  },
}
