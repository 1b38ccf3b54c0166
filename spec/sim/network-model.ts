import type { Rng } from '../../lib/core/ports.ts'
import type { NetworkModel } from './kernel.ts'

/** A switched network with one gigabit for each node; CPU as measured: seal, sign and send, receive, open, verify and step. */
export const switchedNetwork: NetworkModel = {
  lossRate: 0,
  duplicateRate: 0.001,
  minDelayMs: 0.2,
  maxDelayMs: 1,
  tailMs: 0.3,
  bytesPerMs: 125_000,
  cpu: { sendMs: 0.12, receiveMs: 0.2 },
}

/** Linux waits at least so long before it sends a segment again. */
const retransmitMs = 200

/** A segment of a TCP connection on that network: what is lost comes later. */
export function segmentDelayMs(rng: Rng, lossRate: number): number {
  const { minDelayMs, maxDelayMs, tailMs = 0 } = switchedNetwork
  let delayMs = minDelayMs + rng.next() * (maxDelayMs - minDelayMs) - tailMs * Math.log(1 - rng.next())
  for (let waitMs = retransmitMs; lossRate > 0 && rng.next() < lossRate; waitMs *= 2) delayMs += waitMs
  return delayMs
}
