import { setImmediate as nextTurn } from 'node:timers/promises'
import { describeError } from '../../core/errors.ts'
import { type PeerRpc, rpcProtocols } from '../../core/messaging.ts'
import type { PeerId } from '../../core/peer-id.ts'
import type { Logger, Rng } from '../../core/ports.ts'
import {
  decodeRecords,
  encodeRequest,
  maxAttestationSizeBytes,
  maxRecordsPerRequest,
  type RecordWithProof,
} from '../../membership/exchange.ts'
import { maxRecordSizeBytes, type SignedRecord } from '../../membership/record.ts'
import { defaultSettings } from '../../membership/settings.ts'

/** Wants that come within this time share a request. */
const coalesceMs = 30
/** After a peer that did not have it. */
const retryMs = 250
/** Attempts at connected peers before the teller is dialled. */
const connectedAttempts = 2
const maxAttempts = 4
const maxInFlight = 4
/** All that the machine wants, and newer records of the same members. */
const maxPending = 2 * defaultSettings.maxWants
const requestTimeoutMs = 5_000

interface Want {
  readonly hash: string
  teller: PeerId
  attempts: number
}

export interface FetcherParts {
  readonly rpc: PeerRpc
  readonly rng: Rng
  readonly logger: Logger
  readonly connected: () => readonly PeerId[]
  /** Checks what came; undefined where it is refused. */
  readonly admit: (given: RecordWithProof) => SignedRecord | undefined
  readonly accept: (signed: SignedRecord) => void
}

/**
 * Fetches records by hash, many in one request: first from a peer that is connected already, then from the one that
 * told of them, so that news of one member doesn't make everybody dial everybody.
 */
export class RecordFetcher {
  readonly #parts: FetcherParts
  readonly #waiting = new Map<string, Want>()
  readonly #asked = new Set<string>()
  #inFlight = 0
  #timer: NodeJS.Timeout | undefined
  #stopped = false

  constructor(parts: FetcherParts) {
    this.#parts = parts
  }

  want(hash: string, teller: PeerId): void {
    if (this.#asked.has(hash) || this.#waiting.size >= maxPending) return
    this.#enqueue({ hash, teller, attempts: 0 })
  }

  stop(): void {
    this.#stopped = true
    clearTimeout(this.#timer)
    this.#waiting.clear()
  }

  #enqueue(want: Want): void {
    const known = this.#waiting.get(want.hash)
    if (known === undefined) this.#waiting.set(want.hash, want)
    else known.teller = want.teller
    this.#schedule()
  }

  #schedule(afterMs = coalesceMs): void {
    if (this.#stopped || this.#timer !== undefined || this.#inFlight >= maxInFlight) return
    this.#timer = setTimeout(() => {
      this.#timer = undefined
      this.#flush()
    }, afterMs)
  }

  #flush(): void {
    const connected = this.#parts.connected()
    const batches = new Map<PeerId, Want[]>()
    for (const want of this.#waiting.values()) {
      const source = this.#sourceOf(want, connected)
      const batch = batches.get(source)
      if (batch === undefined) {
        if (this.#inFlight + batches.size >= maxInFlight) continue
        batches.set(source, [want])
      } else if (batch.length < maxRecordsPerRequest) batch.push(want)
    }
    for (const [source, batch] of batches) void this.#fetch(source, batch)
    if (this.#waiting.size > 0) this.#schedule()
  }

  #sourceOf(want: Want, connected: readonly PeerId[]): PeerId {
    if (want.attempts >= connectedAttempts || connected.length === 0 || connected.includes(want.teller))
      return want.teller
    return connected[Math.floor(this.#parts.rng.next() * connected.length)] ?? want.teller
  }

  async #fetch(source: PeerId, batch: readonly Want[]): Promise<void> {
    this.#inFlight++
    for (const { hash } of batch) {
      this.#waiting.delete(hash)
      this.#asked.add(hash)
    }
    const got = new Set<string>()
    try {
      const request = encodeRequest({ kind: 'records', hashes: batch.map(({ hash }) => hash) })
      const maxAnswerSizeBytes = batch.length * (maxRecordSizeBytes + maxAttestationSizeBytes + 64)
      const options = { timeoutMs: requestTimeoutMs, maxAnswerSizeBytes }
      for (const frame of await this.#parts.rpc.request(source, rpcProtocols.membership, request, options)) {
        for (const given of decodeRecords(frame)) {
          const signed = this.#parts.admit(given)
          if (signed === undefined || this.#stopped) continue
          got.add(signed.hash)
          this.#parts.accept(signed)
        }
        // Signatures of a whole frame take milliseconds; heartbeats must get their turn.
        await nextTurn()
      }
    } catch (error) {
      this.#parts.logger.debug(
        { peerId: source, reason: describeError(error) },
        'records could not be fetched',
      )
    }
    this.#inFlight--
    for (const want of batch) {
      this.#asked.delete(want.hash)
      const isOver = got.has(want.hash) || want.attempts + 1 >= maxAttempts || this.#stopped
      if (!isOver) this.#waiting.set(want.hash, { ...want, attempts: want.attempts + 1 })
    }
    if (got.size < batch.length) this.#schedule(retryMs)
    if (this.#waiting.size > 0) this.#schedule()
  }
}
