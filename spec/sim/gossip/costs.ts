/** What gossip costs a core, in milliseconds; fitted on 20 nodes (`fit.ts`). */
export interface GossipCosts {
  /** To publish, beside the copies. */
  readonly publishMs: number
  /** One frame to one peer: encode, encrypt, write. */
  readonly sendMs: number
  /** One copy: read, decrypt, decode, and see whether it is known. */
  readonly receiveMs: number
  /** The first copy, on top: judge it and hand it on. */
  readonly firstMs: number
  /** A frame without a message. */
  readonly controlMs: number
  readonly heartbeatMs: number
  /** Of a KiB of a message, at either end. */
  readonly kibibyteMs: number
  /** From the write of one node to the read of the other, without work. */
  readonly hopMs: number
}

/** Near what 20 nodes in one process show, and 0.25 ms for the catalog to check the signature of a message and to apply it. */
export const measuredCosts: GossipCosts = {
  publishMs: 0.5,
  sendMs: 0.06,
  receiveMs: 0.08,
  firstMs: 0.3,
  controlMs: 0.08,
  heartbeatMs: 0.2,
  kibibyteMs: 0.005,
  hopMs: 0.2,
}
