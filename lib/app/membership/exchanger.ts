import { describeError } from '../../core/errors.ts'
import { type AttestationRegistry, type PeerRpc, rpcProtocols } from '../../core/messaging.ts'
import type { PeerId } from '../../core/peer-id.ts'
import type { Logger, Rng } from '../../core/ports.ts'
import {
  decodeClaims,
  decodeRequest,
  encodeClaims,
  encodeRecords,
  encodeRegistries,
  encodeRequest,
  maxClaimsPerFrame,
  maxStateAnswerSizeBytes,
  type RecordWithProof,
} from '../../membership/exchange.ts'
import type { MembershipMachine } from '../../membership/machine.ts'
import type { Claim } from '../../membership/messages.ts'

const exchangeTimeoutMs = 10_000
const maxConcurrent = 8
/** So many periodic exchanges go to a member that is not connected. */
const strangerShare = 0.1

export interface ExchangerParts {
  readonly rpc: PeerRpc
  readonly machine: MembershipMachine
  readonly attestations: AttestationRegistry
  readonly rng: Rng
  readonly logger: Logger
  readonly connected: () => readonly PeerId[]
  readonly apply: (from: PeerId, claims: readonly Claim[]) => void
  readonly registriesByHash: (hash: string) => readonly string[] | undefined
}

/** Push/pull with one other node, and the answers to such requests (`/starling/membership/1`). */
export class Exchanger {
  readonly #parts: ExchangerParts
  readonly #running = new Map<PeerId, Promise<boolean>>()

  constructor(parts: ExchangerParts) {
    this.#parts = parts
    parts.rpc.handle(rpcProtocols.membership, (from, frame) => this.#answer(from, frame))
  }

  /** Pulls all that the peer knows and pushes what it lacks. False where that failed; never throws. */
  exchange(peer: PeerId): Promise<boolean> {
    const running = this.#running.get(peer)
    if (running !== undefined) return running
    if (this.#running.size >= maxConcurrent) return Promise.resolve(false)
    const exchange = this.#exchange(peer).finally(() => this.#running.delete(peer))
    this.#running.set(peer, exchange)
    return exchange
  }

  /**
   * With the member that was drawn if it is connected, mostly with a neighbour else: that costs no handshake. Now and
   * then with a stranger after all, so that news crosses the flock.
   */
  exchangeNear(drawn: PeerId): Promise<boolean> {
    const { rng } = this.#parts
    const connected = this.#parts.connected()
    const isDrawn = connected.includes(drawn) || rng.next() < strangerShare
    const neighbour = connected[Math.floor(rng.next() * connected.length)]
    return this.exchange(isDrawn ? drawn : (neighbour ?? drawn))
  }

  async #exchange(peer: PeerId): Promise<boolean> {
    const { rpc, machine, logger, apply } = this.#parts
    const pull = { timeoutMs: exchangeTimeoutMs, maxAnswerSizeBytes: maxStateAnswerSizeBytes }
    const push = { timeoutMs: exchangeTimeoutMs, maxAnswerSizeBytes: 1024 }
    try {
      const request = encodeRequest({ kind: 'state' })
      const told = (await rpc.request(peer, rpcProtocols.membership, request, pull)).flatMap(decodeClaims)
      apply(peer, told)
      const lacking = machine.lacking(told)
      for (let start = 0; start < lacking.length; start += maxClaimsPerFrame) {
        const claims = lacking.slice(start, start + maxClaimsPerFrame)
        await rpc.request(peer, rpcProtocols.membership, encodeRequest({ kind: 'push', claims }), push)
      }
      return true
    } catch (error) {
      logger.debug({ peerId: peer, reason: describeError(error) }, 'an exchange with a member failed')
      return false
    }
  }

  #answer(from: PeerId, frame: Uint8Array): Iterable<Uint8Array> {
    const { machine, apply, registriesByHash } = this.#parts
    const request = decodeRequest(frame)
    switch (request?.kind) {
      case 'state':
        return encodeClaims(machine.state())
      case 'push':
        apply(from, request.claims)
        return []
      case 'records':
        return encodeRecords(request.hashes.flatMap((hash) => this.#recordWithProof(hash)))
      case 'registries': {
        const names = registriesByHash(request.hash)
        return names === undefined ? [] : [encodeRegistries(names)]
      }
      default:
        return []
    }
  }

  #recordWithProof(hash: string): RecordWithProof[] {
    const { machine, attestations } = this.#parts
    const signed = machine.recordByHash(hash)
    if (signed === undefined) return []
    const own = attestations.own()
    const { peerId } = signed.record
    const attestation = peerId === own.peerId ? own : attestations.get(peerId)
    return attestation === undefined ? [] : [{ record: signed.bytes, attestation: attestation.bytes }]
  }
}
