import { createHash } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import { Agent, type RequestOptions, request as startRequest } from 'node:https'
import { isIP, type Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import type { TLSSocket } from 'node:tls'
import { LRUCache } from 'lru-cache'
import { describeError, systemErrorCode } from '../core/errors.ts'
import type { CandidatePeer } from '../core/lookup.ts'
import type { Clock } from '../core/ports.ts'
import type { RegistryCredentials, RegistryLimits } from './messages.ts'
import { hopHeader } from './request.ts'

export interface PeerRequest {
  readonly peer: CandidatePeer
  readonly method: 'GET' | 'HEAD'
  /** Path and query. */
  readonly path: string
  /** Value of the `Range` header. */
  readonly range: string | undefined
  /** How long a new connection may take; default the limit of all. */
  readonly connectTimeoutMs?: number
  /** How long the head of the answer may take; default the limit of all. */
  readonly firstByteTimeoutMs?: number
  /** Ends the request and its body. */
  readonly signal: AbortSignal
}

export type PeerFailure = 'unreachable' | 'refused' | 'stalled' | 'broken' | 'cancelled'

export type PeerAnswer =
  | { readonly ok: true; readonly message: IncomingMessage }
  /** `crowded`: it was not asked, because all connections to it were in use. */
  | { readonly ok: false; readonly outcome: PeerFailure; readonly reason: string; readonly crowded?: true }

type PeerLimits = Pick<RegistryLimits, 'connectTimeoutMs' | 'firstByteTimeoutMs' | 'maxPeerConnections'>

const maxConnectionsPerPeer = 64
/** A new connection costs a handshake, and a peer takes only so many a second: what requests at once have opened is kept. */
const maxIdlePerPeer = 32
/** Idle connections count towards the bound of all: with more of them there would be none left for other peers. */
const maxIdleShare = 0.5
const idleTimeoutMs = 30_000
const maxCachedSessions = 256
/** Kept connections that a peer closed a moment ago look usable until they are used. */
const maxStaleRetries = 4
const maxHeaderSizeBytes = 16_384

interface PeerRequestOptions extends RequestOptions {
  readonly peerKey: string
}

/** Connections and TLS sessions belong to a peer with its certificate key, whatever address they go to. */
class PeerAgent extends Agent {
  override getName(options?: RequestOptions): string {
    return (options as PeerRequestOptions | undefined)?.peerKey ?? ''
  }

  override keepSocketAlive(socket: Duplex): boolean {
    const idle = Object.values(this.freeSockets).reduce((sum, sockets) => sum + (sockets?.length ?? 0), 0)
    if (idle >= this.maxTotalSockets * maxIdleShare) return false
    // Node returns whether it is kept; its types don't say so.
    return super.keepSocketAlive(socket) as unknown as boolean
  }
}

/**
 * Asks other nodes' registries over mutual TLS, on kept connections. A peer is known by its certificate: signed by the server
 * CA, for its node name, with the key whose hash stands in its signed record.
 */
export class PeerClient {
  readonly #limits: PeerLimits
  readonly #clock: Clock
  readonly #checked = new WeakMap<Socket, { readonly untilMs: number }>()
  /** By peer: its addresses that stand in its certificate, so that a client which knows no more than the address can check it. */
  readonly #named = new LRUCache<string, { readonly addresses: readonly string[]; readonly untilMs: number }>(
    {
      max: maxCachedSessions,
    },
  )
  /** By what ends them: answers whose readers take nothing, with the keys of their peers; the longest first. */
  readonly #spare = new Map<() => void, string>()
  #agent: PeerAgent

  constructor(credentials: RegistryCredentials, limits: PeerLimits, clock: Clock) {
    this.#limits = limits
    this.#clock = clock
    this.#agent = makeAgent(credentials, limits)
  }

  /** Requests under way go on with the old credentials; their connections are not kept. */
  setCredentials(credentials: RegistryCredentials): void {
    retire(this.#agent)
    this.#named.clear()
    this.#agent = makeAgent(credentials, this.#limits)
  }

  close(): void {
    this.#agent.destroy()
  }

  /**
   * The reader of an answer takes nothing: where a request finds no connection, `giveUp` is called, which is to close that of the
   * answer. To be taken back with what is returned.
   */
  spare(peer: CandidatePeer, giveUp: () => void): () => void {
    const peerKey = peerKeyOf(peer)
    this.#spare.set(giveUp, peerKey)
    for (const key of Object.keys(this.#agent.requests)) this.#makeRoom(key)
    return () => void this.#spare.delete(giveUp)
  }

  /** The first address of a peer for which a certificate that was seen there is valid; undefined where none was seen yet. */
  namedAddress(peer: CandidatePeer): string | undefined {
    const known = this.#named.get(peerKeyOf(peer))
    if (known === undefined || this.#clock.wallMs() > known.untilMs) return undefined
    return peer.addresses.find((address) => known.addresses.includes(address))
  }

  /** Resolves with the head of the answer, its body unread; tries the addresses in turn while none connects. */
  async open(request: PeerRequest): Promise<PeerAnswer> {
    let answer: PeerAnswer = { ok: false, outcome: 'unreachable', reason: 'its record has no address' }
    for (const address of request.peer.addresses) {
      answer = await this.#openAt(request, address)
      if (answer.ok || answer.outcome !== 'unreachable') break
    }
    return answer
  }

  async #openAt(request: PeerRequest, address: string): Promise<PeerAnswer> {
    for (let retries = 0; ; retries++) {
      const attempt = await this.#attempt(request, address)
      if (attempt !== 'stale') return attempt
      if (retries === maxStaleRetries) {
        return { ok: false, outcome: 'broken', reason: 'it keeps closing its connections' }
      }
    }
  }

  /** A request that waits for a connection gets that of an answer which nobody reads. */
  #makeRoom(peerKey: string): void {
    const { requests, sockets } = this.#agent
    if ((requests[peerKey]?.length ?? 0) === 0) return
    const crowded = (sockets[peerKey]?.length ?? 0) >= maxConnectionsPerPeer
    for (const [giveUp, key] of this.#spare) {
      if (crowded && key !== peerKey) continue
      this.#spare.delete(giveUp)
      giveUp()
      return
    }
  }

  #attempt(request: PeerRequest, address: string): Promise<PeerAnswer | 'stale'> {
    const { peer, signal } = request
    if (signal.aborted) {
      return Promise.resolve({ ok: false, outcome: 'cancelled', reason: 'the request was cancelled' })
    }
    return new Promise((resolve) => {
      const options: PeerRequestOptions = {
        agent: this.#agent,
        host: address,
        port: peer.registryPort,
        method: request.method,
        path: request.path,
        headers: { [hopHeader]: '1', ...(request.range === undefined ? {} : { range: request.range }) },
        servername: isIP(peer.name) === 0 ? peer.name : '',
        maxHeaderSize: maxHeaderSizeBytes,
        peerKey: peerKeyOf(peer),
      }
      const outgoing = startRequest(options)
      this.#makeRoom(options.peerKey)
      let phase: 'queued' | 'connecting' | 'waiting' | 'done' = 'queued'
      let timer: NodeJS.Timeout

      const settle = (answer: PeerAnswer | 'stale'): void => {
        if (phase === 'done') return
        phase = 'done'
        clearTimeout(timer)
        if (answer === 'stale' || !answer.ok) {
          signal.removeEventListener('abort', cancel)
          outgoing.destroy()
        }
        resolve(answer)
      }
      const fail = (outcome: PeerFailure, reason: string): void => settle({ ok: false, outcome, reason })
      const cancel = (): void => {
        fail('cancelled', 'the request was cancelled')
        outgoing.destroy()
      }
      const within = (timeoutMs: number, outcome: PeerFailure, reason: string): void => {
        clearTimeout(timer)
        timer = setTimeout(() => fail(outcome, reason), timeoutMs)
      }
      const connected = (socket: Socket): void => {
        if (socket.destroyed) {
          // An error follows.
          phase = 'waiting'
          return
        }
        const problem = this.#identityProblem(socket as TLSSocket, peer)
        if (problem !== undefined) {
          // With an error, so that the agent forgets the TLS session too.
          socket.destroy(new Error(problem))
          fail('refused', problem)
          return
        }
        phase = 'waiting'
        const { firstByteTimeoutMs = this.#limits.firstByteTimeoutMs } = request
        within(firstByteTimeoutMs, 'stalled', `no answer within ${firstByteTimeoutMs} ms`)
      }

      signal.addEventListener('abort', cancel, { once: true })
      timer = setTimeout(
        () =>
          settle({
            ok: false,
            outcome: 'cancelled',
            reason: 'all connections to it are busy',
            crowded: true,
          }),
        this.#limits.connectTimeoutMs,
      )
      outgoing.on('socket', (socket) => {
        if (outgoing.reusedSocket) {
          connected(socket)
          return
        }
        phase = 'connecting'
        const { connectTimeoutMs = this.#limits.connectTimeoutMs } = request
        within(connectTimeoutMs, 'unreachable', `no connection within ${connectTimeoutMs} ms`)
        socket.once('secureConnect', () => connected(socket))
      })
      outgoing.on('response', (message) => {
        message.once('close', () => signal.removeEventListener('abort', cancel))
        settle({ ok: true, message })
      })
      outgoing.on('error', (error) => {
        if (outgoing.reusedSocket && isStale(error)) settle('stale')
        else if (phase === 'waiting') fail('broken', `it closed the connection: ${describeError(error)}`)
        else fail(isTlsProblem(error) ? 'refused' : 'unreachable', describeError(error))
      })
      outgoing.end()
    })
  }

  /**
   * A resumed session has no certificate to look at. It is resumed only for the peer, key and name under which its first
   * connection was checked, and forgotten where that check failed.
   */
  #identityProblem(socket: TLSSocket, peer: CandidatePeer): string | undefined {
    const checked = this.#checked.get(socket)
    const now = this.#clock.wallMs()
    if (checked !== undefined) return now > checked.untilMs ? 'its certificate is expired' : undefined
    if (socket.isSessionReused()) return undefined
    const certificate = socket.getPeerX509Certificate()
    if (certificate === undefined) return 'it showed no certificate'
    if (certificate.checkHost(peer.name, { subject: 'never', wildcards: false }) === undefined) {
      return `its certificate is not one of the node ${peer.name}`
    }
    const key = certificate.publicKey.export({ type: 'spki', format: 'der' })
    const keyHash = createHash('sha256').update(key).digest('hex')
    if (keyHash !== peer.certificateKeyHash) return 'its certificate has another key than its record says'
    const untilMs = certificate.validToDate.getTime()
    if (now > untilMs) return 'its certificate is expired'
    this.#checked.set(socket, { untilMs })
    const addresses = peer.addresses.filter((address) => certificate.checkIP(address) !== undefined)
    this.#named.set(peerKeyOf(peer), { addresses, untilMs })
    return undefined
  }
}

function peerKeyOf(peer: CandidatePeer): string {
  return `${peer.peerId} ${peer.certificateKeyHash} ${peer.name}`
}

function makeAgent(credentials: RegistryCredentials, limits: PeerLimits): PeerAgent {
  return new PeerAgent({
    ca: credentials.serverCaPem,
    cert: credentials.client.certPem,
    key: credentials.client.keyPem,
    // Before 1.3 a session could be kept before the identity of its peer is checked.
    minVersion: 'TLSv1.3',
    // The whole identity is checked for each request, on resumed sessions and kept connections too. Node keeps no
    // connection that was opened with a check of its own, so this one belongs to the agent.
    checkServerIdentity: () => undefined,
    keepAlive: true,
    scheduling: 'lifo',
    maxSockets: maxConnectionsPerPeer,
    maxTotalSockets: limits.maxPeerConnections,
    maxFreeSockets: maxIdlePerPeer,
    maxCachedSessions,
    timeout: idleTimeoutMs,
  })
}

/** Ends the idle connections of an agent, and the others as soon as they are idle. */
function retire(agent: Agent): void {
  agent.maxFreeSockets = 0
  for (const sockets of Object.values(agent.freeSockets)) for (const socket of sockets ?? []) socket.destroy()
}

function isStale(error: Error): boolean {
  return ['ECONNRESET', 'EPIPE'].includes(systemErrorCode(error) ?? '')
}

/** The peer was reached, but the two could not agree on each other's certificates. */
function isTlsProblem(error: Error): boolean {
  const code = systemErrorCode(error) ?? ''
  return !/^(E[A-Z]+)$/.test(code) || code === 'EPROTO'
}
