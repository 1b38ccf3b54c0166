/** What the flooding process is told, as JSON in its only argument. */
export interface FloodPlan {
  readonly host: string
  readonly p2pPort: number
  readonly registryPort: number
  readonly seconds: number
  /** Frames a second. */
  readonly rates: Readonly<Record<Lane, number>>
  /** Addresses of this machine that strangers' connections come from, in turn. */
  readonly sources: readonly string[]
  /** The address of the one who has a client certificate. */
  readonly insider: string
  /** Text of the cluster's PSK file: some of the flood comes from somebody who has it. */
  readonly psk: string
  /** Hex of the public key of a member, which anybody who hears datagrams can read. */
  readonly memberKey: string
  /** A client certificate of the cluster: some of the flood comes from somebody who has one. */
  readonly tls: { readonly ca: string; readonly cert: string; readonly key: string }
}

export type Lane = 'udp' | 'p2p' | 'registry'

/** What it prints when it has ended. */
export interface FloodReport {
  readonly seconds: number
  readonly sent: Readonly<Record<Lane, number>>
  /** How often each kind of frame was sent. */
  readonly kinds: Readonly<Record<string, number>>
}

/** One kind of frame. */
export interface FrameKind {
  readonly name: string
  /** Its share of the lane. */
  readonly weight: number
  /** Returns at once and takes care of what becomes of it; false where too many connections are open already. */
  send(): boolean
}
