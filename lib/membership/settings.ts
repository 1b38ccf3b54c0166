/** Every time and bound of the protocol; the simulation runs with the same ones. Times in milliseconds. */
export interface MembershipSettings {
  /** One member is probed in each interval (SWIM paper §3.1). */
  readonly probeIntervalMs: number
  /**
   * A member that is new, or came back, is not probed for so long: until it knows this node's attestation it drops its
   * datagrams, and a TCP probe of everybody by everybody would keep a starting cluster busy with handshakes.
   */
  readonly probeGraceMs: number
  /** How long a ping may take before others are asked to help. */
  readonly probeTimeoutMs: number
  /** From the call for help to the verdict. */
  readonly indirectTimeoutMs: number
  readonly indirectProbes: number
  /** A refused connection waits so long for a datagram that proves the opposite. */
  readonly refusedGraceMs: number
  /** A process whose kernel has accepted gets so much longer before it counts as stalled. */
  readonly acceptedGraceMs: number
  readonly maxConcurrentProbes: number
  readonly maxRelays: number
  readonly gossipIntervalMs: number
  readonly gossipFanout: number
  /** Where many rumours wait, as after the death of many, more members are told in one tick. */
  readonly maxGossipFanout: number
  readonly maxRumoursPerPacket: number
  /** The shortest suspicion is this many probe intervals, times log10 of the members. */
  readonly suspicionFactor: number
  /** The longest suspicion is this many times the shortest (Lifeguard §3.2). */
  readonly suspicionMaxFactor: number
  /** So many others must confirm for the shortest suspicion. */
  readonly suspicionConfirmations: number
  /** What is left of a suspicion when enough members were refused. */
  readonly refusedSuspicionMs: number
  readonly stalledTimeoutMs: number
  /** A timer that fires so late means that this node was starved: its verdicts wait as much longer. */
  readonly starvedThresholdMs: number
  /** A timer that fires so late means that this node slept. */
  readonly sleptThresholdMs: number
  readonly maxLocalHealth: number
  readonly pushPullIntervalMs: number
  readonly deadRetryIntervalMs: number
  readonly deadMemoryMs: number
  /**
   * Members whose record is not here yet; who is told of more has to be told again. As many records can be fetched and
   * checked in `wantTimeoutMs`.
   */
  readonly maxWants: number
  readonly wantTimeoutMs: number
  /** A claim may raise an incarnation by so much; more is an attack. */
  readonly maxIncarnationStep: number
  /** How many gossip intervals a goodbye is repeated. */
  readonly leaveRounds: number
  readonly maxMembers: number
}

export const defaultSettings: MembershipSettings = Object.freeze({
  probeIntervalMs: 1000,
  probeGraceMs: 5000,
  probeTimeoutMs: 500,
  indirectTimeoutMs: 500,
  indirectProbes: 3,
  refusedGraceMs: 200,
  acceptedGraceMs: 1200,
  maxConcurrentProbes: 32,
  maxRelays: 256,
  gossipIntervalMs: 200,
  gossipFanout: 3,
  maxGossipFanout: 24,
  maxRumoursPerPacket: 16,
  suspicionFactor: 2,
  suspicionMaxFactor: 6,
  suspicionConfirmations: 3,
  refusedSuspicionMs: 300,
  stalledTimeoutMs: 30_000,
  starvedThresholdMs: 100,
  sleptThresholdMs: 750,
  maxLocalHealth: 8,
  pushPullIntervalMs: 30_000,
  deadRetryIntervalMs: 10_000,
  deadMemoryMs: 24 * 3_600_000,
  maxWants: 4096,
  wantTimeoutMs: 10_000,
  maxIncarnationStep: 2 ** 20,
  leaveRounds: 3,
  maxMembers: 50_000,
})
