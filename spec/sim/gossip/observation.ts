import type { GossipCounts } from './gossip-counts.ts'

/** Messages that are published one after the other, from random nodes. */
export interface Load {
  readonly messages: number
  readonly sizeBytes: number
  /** Pause after everybody has a message. */
  readonly gapMs: number
  /** Pause before the first message and after the last; gossipsub tells of a message for three heartbeats. */
  readonly quietMs: number
  readonly seed: number
}

/** How the messages of a load spread, in the real library or in the model. */
export interface Observation {
  readonly nodes: number
  readonly sizeBytes: number
  /** From the first message until the last one had spread. */
  readonly durationMs: number
  /** For each message, ascending, the milliseconds from its publication to each other node, on an undisturbed core. */
  readonly delays: readonly (readonly number[])[]
  readonly counts: GossipCounts
}

/** Medians over the messages of when the first, half, nine tenths and all of the nodes had each. */
export function spreadOf({ delays }: Pick<Observation, 'delays'>): {
  first: number
  half: number
  most: number
  all: number
} {
  const at = (share: number) =>
    median(delays.map((times) => times[Math.max(0, Math.ceil(times.length * share) - 1)]!))
  return { first: at(0), half: at(0.5), most: at(0.9), all: at(1) }
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
}
