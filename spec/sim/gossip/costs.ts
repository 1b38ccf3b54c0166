/** What gossip costs a core, in milliseconds; fitted on 20 nodes (`fit.ts`). */
export interface GossipCosts {
  /** To publish, beside the copies. */
  readonly publishMs: number
  /** One write to one peer: encode, encrypt, hand to the kernel. */
  readonly sendMs: number
  /** One read of it: decrypt, decode, and see what it is. */
  readonly receiveMs: number
  /**
   * A further frame in the same write, at either end. What a node sends a peer in one turn of its event loop leaves as one
   * write of the socket and comes as one read: a copy follows the IDONTWANT of its message like that.
   */
  readonly joinedMs: number
  /** The first copy, on top: judge it and hand it on. */
  readonly firstMs: number
  readonly heartbeatMs: number
  /** Of a KiB of a message, at either end. */
  readonly kibibyteMs: number
  /** From the write of one node to the read of the other, without work. */
  readonly hopMs: number
}

/** What 20 nodes in one process show (`spec/sim/gossip.spec.ts`), and 0.25 ms for the catalog to check the signature of a message and to apply it. */
export const measuredCosts: GossipCosts = {
  publishMs: 1.6,
  sendMs: 0.06,
  receiveMs: 0.19,
  joinedMs: 0.002,
  firstMs: 0.25,
  heartbeatMs: 0.2,
  kibibyteMs: 0.003,
  hopMs: 0.05,
}
