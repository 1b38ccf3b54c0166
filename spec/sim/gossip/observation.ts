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

/** When the first, half, nine tenths and all of the other nodes had a message, in milliseconds. */
export interface Spread {
  readonly first: number
  readonly half: number
  readonly most: number
  readonly all: number
}

/** How the messages of a load spread, in the real library or in the model. */
export interface Observation {
  readonly nodes: number
  /** Of the connections between them. */
  readonly topologySeed: number
  readonly sizeBytes: number
  readonly messages: number
  /** From the first message until the last one had spread. */
  readonly durationMs: number
  /** Medians over the messages. */
  readonly spread: Spread
  readonly counts: GossipCounts
}

/** @param delays for each message, ascending, the milliseconds from its publication to each other node */
export function spreadOf(delays: readonly (readonly number[])[]): Spread {
  const at = (share: number) =>
    median(delays.map((times) => times[Math.max(0, Math.ceil(times.length * share) - 1)]!))
  return { first: at(0), half: at(0.5), most: at(0.9), all: at(1) }
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
}
