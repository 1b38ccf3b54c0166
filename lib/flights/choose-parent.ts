import type { FlightTree, Participant } from './flight-tree.ts'
import type { FlightSettings } from './settings.ts'

/** A step down a chain costs about the time of this much: what a follower gets it gives on at once. */
const stepBytes = 256 * 2 ** 10
/** The steps of a chain may take this part of the time of the whole. */
const chainShare = 2
/** Blobs up to this size are done before a chain would gain anything. */
const smallBytes = 2 * 2 ** 20

/**
 * How long a chain may be. One child leaves a parent's whole uplink to it, so that a chain is soonest done as long as its
 * steps are few beside the size of the blob; beyond, each further child halves the rate and the depth grows like a logarithm.
 */
export function chainLength(sizeBytes: number | undefined, settings: FlightSettings): number {
  if (sizeBytes === undefined) return settings.maxChain
  return Math.max(1, Math.min(settings.maxChain, Math.floor(sizeBytes / stepBytes / chainShare)))
}

/** How many children a parent should have in a flight of this many participants. */
export function wantedFanout(size: number, sizeBytes: number | undefined, settings: FlightSettings): number {
  if (sizeBytes !== undefined && sizeBytes <= smallBytes) return settings.maxFanout
  return size <= chainLength(sizeBytes, settings) ? 1 : Math.min(2, settings.maxFanout)
}

/** Words are half a second old: with less than this between them nobody is known to lag. */
const minLagBytes = 64 * 2 ** 20
const lagShare = 0.25

/** One whose child falls far behind it gives what its uplink gives: further children would only share that. */
function isSaturated({ progress, children }: Participant): boolean {
  const lagBytes = Math.max(minLagBytes, progress.offset * lagShare)
  for (const child of children) if (progress.offset - child.progress.offset > lagBytes) return true
  return false
}

/**
 * The parent for `child`: one of its own zone before others, and there the shallowest with room; never one that it has lost, that
 * is below it, or that hangs on nobody. Undefined where there is none.
 */
export function chooseParent(
  tree: FlightTree,
  child: Participant,
  settings: FlightSettings,
): Participant | undefined {
  const wanted = wantedFanout(tree.size, sizeOf(tree, child), settings)
  const more = Math.min(wanted + 1, settings.maxFanout)
  const unfit = new Set<Participant>([child])
  for (const want of [
    { sameZone: true, fanout: wanted },
    { sameZone: true, fanout: more },
    { sameZone: false, fanout: wanted },
    { sameZone: false, fanout: more },
    { sameZone: false, fanout: settings.maxFanout },
    { sameZone: false, fanout: settings.maxFanout, saturated: true },
  ]) {
    for (;;) {
      const found = best(tree, child, { ...want, unfit })
      if (found === undefined) break
      const root = tree.rootOf(found)
      if (root.root && !child.lost.has(root.peerId) && !tree.isBelow(found, child)) return found
      unfit.add(found)
    }
  }
  return undefined
}

/** Less than a step of a download in the store makes nobody more advanced. */
const aheadBytes = 2 ** 20

/**
 * Of those who hang on what `child` has lost, or on nobody, the one that has most, where it has more than `child`: it will notice
 * its loss itself and lead, or has lost nothing. Undefined where `child` is the most advanced itself.
 */
export function chooseHeir(
  tree: FlightTree,
  child: Participant,
  nowMs: number,
  settings: FlightSettings,
): Participant | undefined {
  let heir: Participant | undefined
  let moreThan = child.progress.offset + aheadBytes
  for (const candidate of tree.all()) {
    const { progress, children, slots } = candidate
    if (progress.offset < moreThan || child.lost.has(candidate.peerId)) continue
    if (candidate.silent || candidate.doubts > 0 || nowMs - candidate.heardMs > settings.patienceMs) continue
    if (children.size >= Math.min(slots, settings.maxFanout) || tree.isBelow(candidate, child)) continue
    heir = candidate
    moreThan = progress.offset + 1
  }
  return heir
}

function best(
  tree: FlightTree,
  child: Participant,
  want: { sameZone: boolean; fanout: number; saturated?: boolean; unfit: ReadonlySet<Participant> },
): Participant | undefined {
  let found: Participant | undefined
  for (const candidate of tree.all()) {
    if (candidate.children.size >= Math.min(want.fanout, candidate.slots)) continue
    if (candidate.doubts > 0 || (isSaturated(candidate) && !want.saturated)) continue
    if (want.sameZone && candidate.zone !== child.zone) continue
    if (want.unfit.has(candidate) || child.lost.has(candidate.peerId)) continue
    if (found === undefined || isBetter(candidate, found)) found = candidate
  }
  return found
}

function isBetter(a: Participant, b: Participant): boolean {
  if (a.depth !== b.depth) return a.depth < b.depth
  if (a.children.size !== b.children.size) return a.children.size < b.children.size
  return a.progress.offset > b.progress.offset
}

function sizeOf(tree: FlightTree, child: Participant): number | undefined {
  if (child.progress.sizeBytes !== undefined) return child.progress.sizeBytes
  for (const { progress } of tree.all()) if (progress.sizeBytes !== undefined) return progress.sizeBytes
  return undefined
}
