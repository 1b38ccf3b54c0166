import type { ClusterState } from '../trust/cluster-state.ts'
import type { ClusterView } from '../trust/cluster-view.ts'

/** Who asks, as its certificate of the client CA says. */
export interface SupervisorCaller {
  /** Common name: that of a node, or of a person who was given a certificate. */
  readonly name: string
  /** The certificate is one of a server. */
  readonly server: boolean
  /** IP address that the request came from. */
  readonly address: string
  /** Beginning of its certificate, milliseconds since 1970: a revocation counts for what was issued before it. */
  readonly notBeforeMs: number
}

/** The keys that a node has made, and the proof that they are its own. All but the keys' public halves stays there. */
export interface KeyProof {
  /** Ed25519 identity, 32 bytes in base64. */
  readonly publicKey: string
  /** Signature of the identity over the name and both requests, 64 bytes in base64. */
  readonly signature: string
  /** PKCS#10, PEM. */
  readonly servingRequest: string
  readonly clientRequest: string
}

/** Where a node is reached. */
export interface NodeReach {
  /** IP addresses that its certificate shall name, beside the one that the request comes from. */
  readonly addresses: readonly string[]
  /** `address:port` for members that look for company. */
  readonly p2p: readonly string[]
}

export interface JoinRequest extends KeyProof, NodeReach {
  readonly name: string
  /** `<id>.<key>` of a token. */
  readonly token: string
  /** Made by the node at its first start; binds the name to it. */
  readonly password: string
}

export type RenewRequest = KeyProof & NodeReach

/** Certificates, and all else that a node needs. */
export interface JoinAnswer extends WatchChange {
  readonly servingCertificate: string
  readonly clientCertificate: string
}

export interface WatchQuery {
  /** Revision that the caller has heard of; the answer waits until there is another one. */
  readonly seen?: string
  /** Revision that the caller works with: its acknowledgement. */
  readonly applied?: string
}

export interface WatchChange {
  readonly revision: string
  readonly view: ClusterView
  /** `address:port` of some nodes. */
  readonly peers: readonly string[]
}

/** Without a view nothing has changed. */
export type WatchAnswer = Omit<WatchChange, 'view'> & { readonly view?: ClusterView }

export interface ServerJoinRequest {
  readonly name: string
  readonly token: string
  readonly password: string
  /** Where the new server will be reached, `https://address:port`. */
  readonly urls: readonly string[]
}

/** The state of the cluster, sealed for the token (lib/trust/sealed-state.ts); all in base64. */
export interface SealedAnswer {
  readonly salt: string
  readonly nonce: string
  readonly sealed: string
}

/** What a node works with, as it said. */
export interface Acknowledgement {
  readonly revision: string
  /** Milliseconds since 1970, by the clock of the server that heard it. */
  readonly heardMs: number
}

export interface StateAnswer {
  /** To be sent with the next question; means something to the server that gave it alone. */
  readonly tag: string
  readonly state?: ClusterState
  /** By name of the node. */
  readonly acknowledged: Readonly<Record<string, Acknowledgement>>
}

/** What the endpoint of a server answers; `app` implements it. Refusals are thrown as JoinRefusedError. */
export interface SupervisorApi {
  /** All roots and cross-signed CAs of 9345 in PEM, for everybody. */
  caBundle(): string
  /** Called for every request with a certificate, before anything else. @throws JoinRefusedError `revoked` */
  admit(caller: SupervisorCaller): void
  ready(): { readonly ready: boolean; readonly reasons: readonly string[] }
  join(request: JoinRequest, address: string): Promise<JoinAnswer>
  renew(request: RenewRequest, caller: SupervisorCaller): Promise<JoinAnswer>
  /** Waits for a change, at most for about half a minute; ends at once when `signal` aborts. */
  watch(query: WatchQuery, caller: SupervisorCaller, signal: AbortSignal): Promise<WatchAnswer>
  joinServer(request: ServerJoinRequest, address: string): Promise<SealedAnswer>
  state(tag: string | undefined, caller: SupervisorCaller, signal: AbortSignal): Promise<StateAnswer>
  /** Prometheus text; undefined where it is not offered. */
  metrics(caller: SupervisorCaller): Promise<string | undefined>
}
