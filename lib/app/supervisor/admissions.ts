import { randomBytes } from 'node:crypto'
import { describeError } from '../../core/errors.ts'
import type { PeerId } from '../../core/peer-id.ts'
import type { Clock, Logger, Metrics } from '../../core/ports.ts'
import type {
  JoinRequest,
  KeyProof,
  NodeReach,
  RenewRequest,
  SealedAnswer,
  ServerJoinRequest,
  SupervisorCaller,
} from '../../supervisor/api.ts'
import { nodeOf, withNode, withServer } from '../../trust/cluster-changes.ts'
import { isRevoked } from '../../trust/cluster-state.ts'
import { JoinRefusedError } from '../../trust/join-refusal.ts'
import { readTokenSecret, type TokenUsage } from '../../trust/join-token.ts'
import { isRevokedClient } from '../../trust/revocation-list.ts'
import { sealForToken, sealNonceSizeBytes, sealSaltSizeBytes } from '../../trust/sealed-state.ts'
import { hashSecret, type SecretHash, saltSizeBytes, verifySecret } from '../../trust/secret-hash.ts'
import type { ClusterStore } from './cluster-store.ts'
import { FailureLimits } from './failure-limits.ts'
import { issueForNode, provedPeerId } from './issuer.ts'
import { certificateAddresses, isServerUrl, memberEndpoints } from './reach.ts'
import { Turns } from './turns.ts'

const maxWaiting = 256

export interface AdmissionsOptions {
  readonly store: ClusterStore
  readonly lifetimeMs: () => number
  /** Names that no node may have: those of the certificate of this server, which people look at. */
  readonly reserved: ReadonlySet<string>
  readonly clock: Clock
  readonly log: Logger
  readonly metrics: Metrics
}

export interface IssuedCertificates {
  readonly servingCertificate: string
  readonly clientCertificate: string
}

/** Lets nodes and servers in, or not; each decision leaves an audit line. */
export class Admissions {
  readonly #options: AdmissionsOptions
  readonly #turns = new Turns(maxWaiting)
  readonly #failures: FailureLimits

  constructor(options: AdmissionsOptions) {
    this.#options = options
    this.#failures = new FailureLimits(options.clock)
  }

  /** A node with a token. @throws JoinRefusedError */
  join(request: JoinRequest, address: string): Promise<IssuedCertificates> {
    return this.#audited('join', { node: request.name, address }, () =>
      this.#guarded(address, async () => {
        const token = await this.#checkToken(request.token, 'node')
        const password = await this.#checkName(request.name, request.password)
        const issued = await this.#issue(request.name, request, address, { password, role: 'agent' })
        return { ...issued, fields: { ...issued.fields, tokenId: token } }
      }),
    )
  }

  /** This server's own node: it needs no token. @throws JoinRefusedError `name-taken` */
  joinSelf(request: Omit<JoinRequest, 'token'>): Promise<IssuedCertificates> {
    return this.#audited('join', { node: request.name }, () =>
      this.#turns.take(async () => {
        const password = await this.#checkName(request.name, request.password)
        return this.#issue(request.name, request, '', { password, role: 'server' })
      }),
    )
  }

  /** A node that has a certificate already. @throws JoinRefusedError */
  renew(request: RenewRequest, caller: SupervisorCaller): Promise<IssuedCertificates> {
    return this.#audited('renew', { node: caller.name, address: caller.address }, async () => {
      const known = this.member(caller.name)
      if (provedPeerId(caller.name, request) !== known.peerId) {
        throw new JoinRefusedError('identity', `the name ${caller.name} belongs to another identity`)
      }
      return this.#issue(caller.name, request, caller.address, known)
    })
  }

  /** A further server with a server token: it receives all there is. @throws JoinRefusedError */
  joinServer(request: ServerJoinRequest, address: string): Promise<SealedAnswer> {
    const { store } = this.#options
    const { name, urls } = request
    return this.#audited('server', { node: name, address, urls }, () =>
      this.#guarded(address, async () => {
        const token = await this.#checkToken(request.token, 'server')
        await this.#checkName(name, request.password)
        this.refuseRevoked({ name, notBeforeMs: Number.POSITIVE_INFINITY })
        if (name === store.name) throw new JoinRefusedError('name-taken', `this server is called ${name}`)
        if (urls.length === 0 || !urls.every(isServerUrl)) {
          throw new JoinRefusedError('malformed', 'the new server names no address that it is reached at')
        }
        const state = await store.update((before) => withServer(before, name, urls, store.name))
        const at = { salt: randomBytes(sealSaltSizeBytes), nonce: randomBytes(sealNonceSizeBytes) }
        const sealed = sealForToken(request.token, Buffer.from(JSON.stringify(state)), at)
        const base64 = (bytes: Uint8Array) => Buffer.from(bytes).toString('base64')
        const result = { salt: base64(at.salt), nonce: base64(at.nonce), sealed: base64(sealed) }
        return { result, fields: { tokenId: token } }
      }),
    )
  }

  /**
   * Refuses a node that was revoked, also after its name went to another machine; certificates of people have names of no
   * node. @throws JoinRefusedError `revoked`
   */
  refuseRevoked({ name, notBeforeMs }: Pick<SupervisorCaller, 'name' | 'notBeforeMs'>): void {
    const state = this.#options.store.current()
    const known = nodeOf(state, name)
    const isOut = known !== undefined && isRevoked(state, known.peerId)
    if (!isOut && !isRevokedClient(Object.values(state.revocations), name, notBeforeMs)) return
    throw new JoinRefusedError('revoked', `${name} was revoked`)
  }

  /** The node of this name, which may ask. @throws JoinRefusedError `unknown-node`, `revoked` */
  member(name: string): { peerId: PeerId; password: SecretHash; role: 'agent' | 'server' } {
    const state = this.#options.store.current()
    const known = nodeOf(state, name)
    if (known === undefined) {
      throw new JoinRefusedError('unknown-node', `no node of the name ${name} has joined`)
    }
    if (isRevoked(state, known.peerId)) throw new JoinRefusedError('revoked', `${name} was revoked`)
    return known
  }

  async #issue(
    name: string,
    request: KeyProof & NodeReach,
    address: string,
    { password, role }: { password: SecretHash; role: 'agent' | 'server' },
  ): Promise<Audited<IssuedCertificates>> {
    const { store, lifetimeMs, clock } = this.#options
    const peerId = provedPeerId(name, request)
    if (isRevoked(store.current(), peerId)) throw new JoinRefusedError('revoked', `${name} was revoked`)
    const addresses = certificateAddresses(request.addresses, address)
    const p2p = memberEndpoints(request.p2p)
    const terms = { lifetimeMs: lifetimeMs(), clock }
    const result = await issueForNode(store.current().authority, { name, peerId, addresses }, request, terms)
    await store.update((state) => {
      const known = nodeOf(state, name)
      const same = known?.peerId === peerId && sameList(known.p2p, p2p) && known.role === role
      return same ? state : withNode(state, name, { password, peerId, role, p2p }, store.name)
    })
    return { result, fields: { peerId, addresses } }
  }

  /** The id of the token. @throws JoinRefusedError `token-wrong`, `token-expired`, `token-usage` */
  async #checkToken(secret: string, usage: TokenUsage): Promise<string> {
    const { store, clock } = this.#options
    const id = readTokenSecret(secret)?.id ?? ''
    const { tokens } = store.current()
    const entry = Object.hasOwn(tokens, id) ? tokens[id] : undefined
    if (!(await verifySecret(secret, entry?.secret)) || entry === undefined) {
      throw new JoinRefusedError('token-wrong', 'the token is not one of this cluster', 'make a new one')
    }
    if (entry.expiresMs !== undefined && clock.wallMs() >= entry.expiresMs) {
      const ended = new Date(entry.expiresMs).toISOString()
      throw new JoinRefusedError('token-expired', `the token ended at ${ended}`, 'make a new one')
    }
    // Who may become a server may become a node.
    if (usage === 'server' && entry.usage !== 'server') {
      const hint = 'make one with: starling token create --usage server'
      throw new JoinRefusedError('token-usage', 'the token is for nodes, not for servers', hint)
    }
    return id
  }

  /** The password's hash to be kept for the name. @throws JoinRefusedError `name-taken` */
  async #checkName(name: string, password: string): Promise<SecretHash> {
    if (this.#options.reserved.has(name)) {
      throw new JoinRefusedError('name-taken', `the name ${name} is one of the servers (supervisor.names)`)
    }
    const known = nodeOf(this.#options.store.current(), name)
    if (known === undefined) return hashSecret(password, randomBytes(saltSizeBytes))
    if (await verifySecret(password, known.password)) return known.password
    throw new JoinRefusedError(
      'name-taken',
      `the name ${name} belongs to another machine`,
      `give this one its own node.name; if it is the same, reinstalled, run on a server: starling node forget ${name}`,
    )
  }

  /** Where secrets are looked at: one at a time, and not for who has failed too often. */
  #guarded<T>(address: string, act: () => Promise<T>): Promise<T> {
    this.#failures.check(address)
    return this.#turns.take(async () => {
      this.#failures.check(address)
      try {
        return await act()
      } catch (error) {
        if (error instanceof JoinRefusedError) this.#failures.failed(address)
        throw error
      }
    })
  }

  async #audited<T>(
    kind: 'join' | 'renew' | 'server',
    fields: object,
    act: () => Promise<Audited<T>>,
  ): Promise<T> {
    const { log, metrics } = this.#options
    try {
      const { result, fields: more } = await act()
      metrics.count('starling_supervisor_issued_total', { kind })
      log.info({ audit: 'issued', kind, ...fields, ...more }, 'audit: certificates or keys were issued')
      return result
    } catch (error) {
      const reason = error instanceof JoinRefusedError ? error.reason : 'failed'
      const line = { audit: 'refused', kind, ...fields, reason, detail: describeError(error) }
      log.warn(line, 'audit: a request for certificates was refused')
      throw error
    }
  }
}

interface Audited<T> {
  readonly result: T
  readonly fields: object
}

function sameList(a: readonly string[], b: readonly string[]): boolean {
  return JSON.stringify(a) === JSON.stringify(b)
}
