import type { Endpoint } from './peer.ts'
import type { PeerId } from './peer-id.ts'

/** Most bytes of one datagram on the wire: fits a path with MTU 1280 (IPv6 minimum, RFC 8200 §5). */
export const maxDatagramSizeBytes = 1200

/** What a sealed datagram may carry: the rest of it is header, signature and authentication tag (trust/datagram-seal). */
export const maxDatagramBodySizeBytes = 1040

/** Datagrams between nodes: unordered, unreliable, sealed and signed. Only attested senders are told. */
export interface DatagramTransport {
  /** Sends and forgets; an unreachable address is not an error. */
  send(to: Endpoint, body: Uint8Array): void
  /** `replyTo` is the source address and stands for the socket that received. */
  onDatagram(listener: (from: PeerId, body: Uint8Array, replyTo: Endpoint) => void): void
  /** False where UDP is not bound or known to be blocked: probes then run over `PeerRpc`. */
  available(): boolean
}

/** The protocols of `PeerRpc`, one libp2p protocol each. */
export const rpcProtocols = {
  membership: '/starling/membership/1',
  probe: '/starling/probe/1',
  catalog: '/starling/catalog/1',
  revocations: '/starling/revocations/1',
  quarantine: '/starling/quarantine/1',
  flights: '/starling/flights/1',
} as const

export type RpcProtocol = (typeof rpcProtocols)[keyof typeof rpcProtocols]

export interface RpcOptions {
  readonly timeoutMs: number
  /** Most bytes of the whole answer. */
  readonly maxAnswerSizeBytes: number
}

/**
 * One request frame, any number of answer frames, over an attested libp2p connection (dialled when there is none).
 */
export interface PeerRpc {
  /** @throws StarlingError PEER_UNREACHABLE, FRAME_TOO_LARGE, WIRE_MALFORMED */
  request(peer: PeerId, protocol: RpcProtocol, frame: Uint8Array, options: RpcOptions): Promise<Uint8Array[]>
  /** `answer` yields the frames; back-pressure is applied between them. What it throws resets the stream. */
  handle(
    protocol: RpcProtocol,
    answer: (from: PeerId, frame: Uint8Array) => AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  ): void
}

/** The verdict on a broadcast message: `reject` only for what no honest node sends (DESIGN §5). */
export type BroadcastVerdict = 'accept' | 'ignore' | 'reject'

/** One gossipsub topic for each mirrored registry. */
export interface BroadcastBus {
  join(registry: string): void
  leave(registry: string): void
  /** Resolves when it was handed to the mesh; with nobody there that is no error. */
  publish(registry: string, message: Uint8Array): Promise<void>
  /** Called for every message of a joined topic, before it is relayed; the verdict is applied to it. */
  onMessage(listener: (registry: string, from: PeerId, message: Uint8Array) => BroadcastVerdict): void
}

/** A certificate of the cluster that is bound to a PeerId; can be passed on and checked by anybody. */
export interface Attestation {
  readonly peerId: PeerId
  /** Verbatim bytes, see trust/attestation. */
  readonly bytes: Uint8Array
  /** SHA-256 of the SubjectPublicKeyInfo of the certificate; 32 bytes. */
  readonly certificateKeyHash: Uint8Array
  /** Milliseconds since 1970. */
  readonly notAfterMs: number
  /** Common name of the certificate, for logs. */
  readonly subject: string
}

/** Who has proved membership of the cluster. Kept on disk. */
export interface AttestationRegistry {
  isAttested(peerId: PeerId): boolean
  get(peerId: PeerId): Attestation | undefined
  /** Checks bytes that a peer passed on and remembers them. Undefined, with a log line and a metric, where they are refused. */
  admit(bytes: Uint8Array): Attestation | undefined
  own(): Attestation
  onAttested(listener: (attestation: Attestation) => void): () => void
}
