import type { PeerId } from './peer-id.ts'

/** An IP address (never a name) with a port. IPv6 addresses are written without brackets. */
export interface Endpoint {
  readonly host: string
  readonly port: number
}

export function formatEndpoint(endpoint: Endpoint): string {
  return endpoint.host.includes(':')
    ? `[${endpoint.host}]:${endpoint.port}`
    : `${endpoint.host}:${endpoint.port}`
}

/**
 * `host:port` or `[ipv6]:port`; the host may be a name. Undefined where the text is neither.
 */
export function parseHostPort(text: string): { host: string; port: number } | undefined {
  const match = /^(?:\[([0-9a-fA-F:.%]+)\]|([^:[\]/\s]+)):(\d{1,5})$/.exec(text)
  if (match === null) return undefined
  const host = match[1] ?? match[2] ?? ''
  const port = Number(match[3])
  return host.length <= 253 && port <= 65_535 ? { host, port } : undefined
}

/**
 * What a node says of itself, signed by its identity. Others keep the bytes verbatim and pass them on (DESIGN §4).
 */
export interface MemberRecord {
  readonly peerId: PeerId
  /** Grows with each record of that node; of two the greater one counts. */
  readonly sequence: number
  readonly name: string
  /** Where other nodes reach it; datagrams and libp2p use the same addresses and port. */
  readonly p2p: readonly Endpoint[]
  /** Port of the registry API, on the addresses of `p2p`; 0 where it has none. */
  readonly registryPort: number
  readonly zone: string
  /** `agent` or `server`. */
  readonly role: string
  /** Version of Starling. */
  readonly version: string
  readonly registriesCount: number
  /** SHA-256 over the sorted names of the mirrored registries, joined by line feeds; 32 bytes. */
  readonly registriesHash: Uint8Array
  /** SHA-256 of the SubjectPublicKeyInfo of its serving certificate; 32 bytes. */
  readonly certificateKeyHash: Uint8Array
}

/** `alive`, `suspect` and `dead` as in the SWIM paper; `left` said goodbye; `stalled` accepts but does not answer. */
export type MemberState = 'alive' | 'suspect' | 'stalled' | 'dead' | 'left'

/** A member as the rest of the node sees it. */
export interface Member {
  readonly record: MemberRecord
  readonly state: MemberState
  readonly incarnation: number
  /** Wall clock, milliseconds since 1970, of the last change of state. */
  readonly sinceMs: number
  /** Smoothed round-trip time in milliseconds; undefined before the first answer. */
  readonly rttMs: number | undefined
  readonly self: boolean
}

/** A change that the rest of the node is told of. `from` is undefined for a new member. */
export interface MemberChange {
  readonly member: Member
  readonly from: MemberState | undefined
}

/** May this member be asked for content now? */
export function isReachable(state: MemberState): boolean {
  return state === 'alive' || state === 'suspect'
}
