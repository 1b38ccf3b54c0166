/** Gossipsub as `lib/network/bus.ts` sets it up: its own defaults, floodPublish and no scores. */
export const gossipSettings = {
  D: 6,
  Dlo: 4,
  Dhi: 12,
  Dout: 2,
  Dlazy: 6,
  gossipFactor: 0.25,
  heartbeatInterval: 1000,
  mcacheLength: 5,
  mcacheGossip: 3,
  pruneBackoff: 60_000,
  idontwantMinDataSize: 512,
  floodPublish: true,
} as const

/** A peer asks for a message so often at most. */
export const maxRetransmissions = 3
/** Asks of one peer that are answered between two heartbeats. */
export const maxAsksPerHeartbeat = 10

/** Bytes of what travels, in one frame of gossipsub, measured; the name of the topic is one of `registry.example.com`'s length. */
export const frameSizes = {
  message: 42,
  control: 6,
  idontwant: 28,
  ihave: 39,
  id: 22,
  graft: 37,
  prune: 41,
} as const
