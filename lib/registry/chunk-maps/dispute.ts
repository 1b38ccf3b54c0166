import { ChunkMapMaker, chunkMapKey } from '../../core/chunk-map.ts'
import type { Digest } from '../../core/digest.ts'
import type { CandidatePeer, RegistryControl } from '../../core/lookup.ts'
import type { Logger } from '../../core/ports.ts'
import type { PeerClient } from '../peer-client.ts'
import { TransferAttempt } from '../transfer-attempt.ts'

export interface DisputeDeps {
  readonly peers: Pick<PeerClient, 'open'>
  readonly control: RegistryControl
  readonly log: Logger
  readonly now: () => number
}

/** The map that a holder stands for. */
export interface DisputedClaim {
  readonly peer: CandidatePeer
  readonly key: string
}

const maxWaiting = 16
/** A copy that takes longer than this to come settles nothing. */
const copyTimeoutMs = 600_000

/**
 * Finds out in the background who is right where holders disagree: their copies are fetched and hashed whole, one at a time.
 * The first copy that is right gives the true map, and with it everybody whose map is another one. Who is wrong is reported
 * as a giver of wrong bytes.
 */
export class Disputes {
  readonly #deps: DisputeDeps
  readonly #waiting = new Set<Digest>()
  readonly #abort = new AbortController()
  #turn: Promise<void> = Promise.resolve()

  constructor(deps: DisputeDeps) {
    this.#deps = deps
  }

  /** `path`: path and query of the blob. One that is being settled, or too many, are let be. */
  settle(digest: Digest, path: string, claims: readonly DisputedClaim[]): void {
    if (this.#waiting.has(digest) || this.#waiting.size >= maxWaiting) return
    this.#waiting.add(digest)
    const names = claims.map(({ peer }) => peer.name)
    this.#deps.log.warn({ digest, peers: names }, 'holders disagree on a blob; their copies are hashed')
    this.#turn = this.#turn
      .then(() => this.#settle(digest, path, claims))
      .catch(() => {})
      .finally(() => this.#waiting.delete(digest))
  }

  close(): void {
    this.#abort.abort()
  }

  async #settle(digest: Digest, path: string, claims: readonly DisputedClaim[]): Promise<void> {
    const liars = new Set<CandidatePeer>()
    for (const { peer } of claims) {
      const verdict = await this.#hashCopy(digest, path, peer)
      if (verdict === 'wrong') liars.add(peer)
      if (verdict === 'wrong' || verdict === undefined) continue
      for (const claim of claims) if (claim.key !== verdict) liars.add(claim.peer)
      break
    }
    for (const peer of liars) {
      this.#deps.log.error({ digest, peer: peer.name, peerId: peer.peerId }, 'a holder lied about a blob')
      new TransferAttempt(peer, this.#deps).end('wrong-bytes', 'its copy or its chunk map is wrong')
    }
  }

  /** The key of the true map where the copy is right; undefined where it did not come whole. */
  async #hashCopy(digest: Digest, path: string, peer: CandidatePeer): Promise<string | 'wrong' | undefined> {
    const signal = AbortSignal.any([this.#abort.signal, AbortSignal.timeout(copyTimeoutMs)])
    const answer = await this.#deps.peers.open({ peer, method: 'GET', path, range: undefined, signal })
    if (!answer.ok) return undefined
    const { message } = answer
    if (message.statusCode !== 200) {
      message.destroy()
      return undefined
    }
    const maker = new ChunkMapMaker(digest)
    const wanted = Number(message.headers['content-length'])
    let sizeBytes = 0
    const stop = (): void => void message.destroy()
    signal.addEventListener('abort', stop, { once: true })
    try {
      for await (const chunk of message as AsyncIterable<Uint8Array>) {
        sizeBytes += chunk.length
        maker.update(chunk)
      }
    } catch {
      return undefined
    } finally {
      signal.removeEventListener('abort', stop)
    }
    if (sizeBytes !== wanted) return undefined
    const map = maker.finish()
    return map === undefined ? 'wrong' : chunkMapKey(map)
  }
}
