import type { KeyPair, Revocation } from '../../core/credentials.ts'
import type { JoinAnswer, JoinRequest, RenewRequest, WatchAnswer, WatchQuery } from '../../supervisor/api.ts'

/** What a link shows and believes once the node has joined. */
export interface LinkCredentials {
  readonly client: KeyPair
  readonly serverCaPem: string
}

/** How a node reaches the servers: over the network, or in the same process where it is one. */
export interface ClusterLink {
  /** @throws StarlingError TOKEN_INVALID, SERVER_UNREACHABLE, SERVER_UNTRUSTED, JOIN_REFUSED */
  join(request: Omit<JoinRequest, 'token'>, signal: AbortSignal): Promise<JoinAnswer>
  /** @throws StarlingError SERVER_UNREACHABLE, SERVER_UNTRUSTED, JOIN_REFUSED */
  renew(request: RenewRequest, signal: AbortSignal): Promise<JoinAnswer>
  /** The same errors as `renew`. */
  watch(query: WatchQuery, signal: AbortSignal): Promise<WatchAnswer>
  /** Where the last answer came from; undefined while none comes. */
  follows(): string | undefined
  learn(urls: readonly string[]): void
  use(credentials: LinkCredentials): void
  /** Servers among these are asked no more, and not believed. */
  refuse(revocations: readonly Revocation[]): void
  close(): void
}
