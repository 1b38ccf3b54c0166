import { LRUCache } from 'lru-cache'
import { type ChunkMap, chunkMapKey, hashOfPiece, pieceCount } from '../../core/chunk-map.ts'
import type { Digest } from '../../core/digest.ts'
import type { CandidatePeer, RegistryControl, WrongBytes } from '../../core/lookup.ts'
import type { Logger } from '../../core/ports.ts'
import type { PeerClient } from '../peer-client.ts'
import { TransferAttempt } from '../transfer-attempt.ts'
import type { GivenPiece } from '../transfer-check.ts'
import type { Suspicion } from '../transfer-job.ts'
import { hashCopy } from './hash-copy.ts'

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

/** What one holder said and gave of a blob. */
interface Party {
  readonly peer: CandidatePeer
  /** Of the map that it gave. */
  key: string | undefined
  readonly pieces: GivenPiece[]
  /** Its copy must be hashed even where its map is right. */
  suspect: boolean
  condemned: boolean
}

/** The right map of a blob, and the holders whose copy was right. */
interface Known {
  readonly map: ChunkMap
  readonly cleared: Set<string>
}

interface Dispute {
  readonly path: string
  readonly parties: Map<string, Party>
}

const maxWaiting = 16
const maxParties = 16
const maxPiecesOfParty = 4
const maxKnownBytes = 8 * 2 ** 20
/** Until then what is said of a blob is held against its right map, and no copy that was right is fetched again. */
const knownForMs = 600_000

const verdicts: Readonly<Record<Exclude<WrongBytes['evidence'], 'digest'>, string>> = {
  copy: 'its copy is wrong',
  map: 'its chunk map is wrong',
  piece: 'a piece that it gave is wrong',
}

/**
 * Finds out in the background who is right where holders disagree, or one of several gave wrong bytes: copies are fetched and hashed
 * whole, one at a time. The first that is right gives the right map, and with it the worth of every other map and piece. What most
 * say is no proof: who is outvoted and right is not touched. Only who is shown to be wrong is reported as a giver of wrong
 * bytes.
 */
export class Disputes {
  readonly #deps: DisputeDeps
  readonly #waiting = new Map<Digest, Dispute>()
  readonly #known = new LRUCache<Digest, Known>({
    maxSize: maxKnownBytes,
    sizeCalculation: ({ map }) => 2 * map.pieces.length + 1024,
    ttl: knownForMs,
  })
  readonly #abort = new AbortController()
  #turn: Promise<void> = Promise.resolve()

  constructor(deps: DisputeDeps) {
    this.#deps = deps
  }

  /** Holders stand for different maps. `path`: path and query of the blob. */
  settle(digest: Digest, path: string, claims: readonly DisputedClaim[]): void {
    const dispute = this.#open(digest, path)
    for (const { peer, key } of claims) {
      const party = partyOf(dispute, peer)
      if (party !== undefined) party.key = key
    }
    this.#begin(digest, dispute)
  }

  suspect({ digest, path, peers, piece }: Suspicion): void {
    const dispute = this.#open(digest, path)
    for (const peer of peers) {
      const party = partyOf(dispute, peer)
      if (party === undefined) continue
      party.suspect = true
      if (piece !== undefined && party.pieces.length < maxPiecesOfParty) party.pieces.push(piece)
    }
    this.#begin(digest, dispute)
  }

  close(): void {
    this.#abort.abort()
  }

  #open(digest: Digest, path: string): Dispute {
    return this.#waiting.get(digest) ?? { path, parties: new Map() }
  }

  /** What comes while the blob is being looked at is looked at, too; beyond the bound disputes are let be. */
  #begin(digest: Digest, dispute: Dispute): void {
    if (this.#waiting.has(digest) || this.#waiting.size >= maxWaiting) return
    this.#waiting.set(digest, dispute)
    const peers = [...dispute.parties.values()].map(({ peer }) => peer.name)
    this.#deps.log.warn(
      { digest, peers },
      'bytes of a blob are disputed; the copies of its holders are hashed',
    )
    this.#turn = this.#turn
      .then(() => this.#settle(digest, dispute))
      .catch(() => {})
      .finally(() => this.#waiting.delete(digest))
  }

  async #settle(digest: Digest, { path, parties }: Dispute): Promise<void> {
    let known = this.#known.get(digest)
    for (const party of parties.values()) {
      const { peer } = party
      if (known !== undefined) {
        const settled = this.#judge(digest, party, known.map) || !party.suspect
        if (settled || known.cleared.has(peer.peerId)) continue
      }
      const verdict = await hashCopy(this.#deps.peers, peer, digest, path, this.#abort.signal)
      if (verdict === 'wrong') this.#condemn(digest, party, 'copy')
      else if (verdict !== undefined) {
        known ??= { map: verdict, cleared: new Set() }
        known.cleared.add(peer.peerId)
        this.#known.set(digest, known)
      }
    }
    if (known === undefined) {
      this.#deps.log.warn({ digest }, 'no right copy of a disputed blob came: nobody is known to be right')
      return
    }
    for (const party of parties.values()) this.#judge(digest, party, known.map)
  }

  /** Holds what a party said and gave against the right map; true where that condemns it. */
  #judge(digest: Digest, party: Party, right: ChunkMap): boolean {
    const { key, pieces } = party
    if (key !== undefined && key !== chunkMapKey(right)) this.#condemn(digest, party, 'map')
    else if (pieces.some((piece) => isWrong(piece, right))) this.#condemn(digest, party, 'piece')
    return party.condemned
  }

  #condemn(digest: Digest, party: Party, evidence: keyof typeof verdicts): void {
    if (party.condemned) return
    party.condemned = true
    new TransferAttempt(party.peer, this.#deps).condemn({ digest, evidence }, verdicts[evidence])
  }
}

function partyOf({ parties }: Dispute, peer: CandidatePeer): Party | undefined {
  const known = parties.get(peer.peerId)
  if (known !== undefined || parties.size >= maxParties) return known
  const party: Party = { peer, key: undefined, pieces: [], suspect: false, condemned: false }
  parties.set(peer.peerId, party)
  return party
}

function isWrong({ index, sha256 }: GivenPiece, right: ChunkMap): boolean {
  return index >= pieceCount(right.sizeBytes) || Buffer.compare(hashOfPiece(right, index), sha256) !== 0
}
