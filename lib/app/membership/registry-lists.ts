import { describeError } from '../../core/errors.ts'
import { type PeerRpc, rpcProtocols } from '../../core/messaging.ts'
import type { PeerId } from '../../core/peer-id.ts'
import type { Logger } from '../../core/ports.ts'
import { decodeRegistries, encodeRequest, maxRegistriesAnswerSizeBytes } from '../../membership/exchange.ts'
import { hashRegistries } from '../../membership/record.ts'

const requestTimeoutMs = 5_000
const maxInFlight = 4
const maxLists = 1024
const retryAfterMs = 10_000

interface KnownList {
  readonly names: readonly string[]
  usedMs: number
}

/**
 * Which registries a hash in a record stands for. Most nodes mirror the same ones, so a list is kept and fetched once
 * for each hash.
 */
export class RegistryLists {
  readonly #rpc: PeerRpc
  readonly #logger: Logger
  readonly #nowMs: () => number
  readonly #onKnown: (hash: string) => void
  readonly #known = new Map<string, KnownList>()
  readonly #askedMs = new Map<string, number>()
  #inFlight = 0

  constructor(parts: {
    rpc: PeerRpc
    logger: Logger
    nowMs: () => number
    onKnown: (hash: string) => void
  }) {
    this.#rpc = parts.rpc
    this.#logger = parts.logger
    this.#nowMs = parts.nowMs
    this.#onKnown = parts.onKnown
    this.add([])
  }

  /** Keeps a list and returns its hash, hex. */
  add(names: readonly string[]): string {
    const sorted = [...names].sort()
    const hash = Buffer.from(hashRegistries(sorted)).toString('hex')
    if (!this.#known.has(hash)) {
      if (this.#known.size >= maxLists) this.#forgetOldest()
      this.#known.set(hash, { names: Object.freeze(sorted), usedMs: this.#nowMs() })
    }
    return hash
  }

  get(hash: string): readonly string[] | undefined {
    const known = this.#known.get(hash)
    if (known !== undefined) known.usedMs = this.#nowMs()
    return known?.names
  }

  /** Asks a peer for the list, unless it is known or was asked for just now. */
  want(hash: string, peer: PeerId): void {
    const nowMs = this.#nowMs()
    if (this.#known.has(hash) || this.#inFlight >= maxInFlight) return
    if (nowMs - (this.#askedMs.get(hash) ?? Number.NEGATIVE_INFINITY) < retryAfterMs) return
    if (this.#askedMs.size >= maxLists) this.#askedMs.clear()
    this.#askedMs.set(hash, nowMs)
    void this.#fetch(hash, peer)
  }

  async #fetch(hash: string, peer: PeerId): Promise<void> {
    this.#inFlight++
    try {
      const request = encodeRequest({ kind: 'registries', hash })
      const options = { timeoutMs: requestTimeoutMs, maxAnswerSizeBytes: maxRegistriesAnswerSizeBytes }
      const [frame] = await this.#rpc.request(peer, rpcProtocols.membership, request, options)
      const names = frame === undefined ? undefined : decodeRegistries(frame)
      if (names === undefined || Buffer.from(hashRegistries(names)).toString('hex') !== hash)
        throw new Error('it does not have the list')
      this.add(names)
      this.#askedMs.delete(hash)
      this.#onKnown(hash)
    } catch (error) {
      this.#logger.debug(
        { peerId: peer, reason: describeError(error) },
        'a list of registries could not be fetched',
      )
    } finally {
      this.#inFlight--
    }
  }

  #forgetOldest(): void {
    let oldest: string | undefined
    let usedMs = Number.POSITIVE_INFINITY
    for (const [hash, known] of this.#known) {
      if (known.usedMs < usedMs && known.names.length > 0) {
        oldest = hash
        usedMs = known.usedMs
      }
    }
    if (oldest !== undefined) this.#known.delete(oldest)
  }
}
