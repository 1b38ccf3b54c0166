import { type PeerId, publicKeyFromPeerId, shortIdOf } from '../core/peer-id.ts'
import type { SignedRecord } from './record.ts'

/**
 * Identities and records by number, each kept once and counted. A node has one; a simulation shares one among all of
 * its machines, so that ten thousand tables of ten thousand members stay small.
 */
export class MemberDirectory {
  readonly #indexByShortId = new Map<string, number>()
  readonly #indexByPeerId = new Map<PeerId, number>()
  readonly #identities: { peerId: PeerId; shortId: string; uses: number }[] = []
  readonly #freeIdentities: number[] = []
  readonly #recordByHash = new Map<string, number>()
  readonly #records: { signed: SignedRecord; uses: number }[] = []
  readonly #freeRecords: number[] = []
  readonly #recordsByName = new Map<string, Set<number>>()

  /** The number of an identity; each call must be matched by `release`. */
  acquire(peerId: PeerId): number {
    const known = this.#indexByPeerId.get(peerId)
    if (known !== undefined) {
      this.#identities[known]!.uses++
      return known
    }
    const shortId = shortIdOf(publicKeyFromPeerId(peerId))
    const index = this.#freeIdentities.pop() ?? this.#identities.length
    this.#identities[index] = { peerId, shortId, uses: 1 }
    this.#indexByPeerId.set(peerId, index)
    this.#indexByShortId.set(shortId, index)
    return index
  }

  release(index: number): void {
    const identity = this.#identities[index]
    if (identity === undefined || --identity.uses > 0) return
    this.#indexByPeerId.delete(identity.peerId)
    this.#indexByShortId.delete(identity.shortId)
    this.#freeIdentities.push(index)
  }

  /** One more use of an identity that is in use. */
  retain(index: number): void {
    this.#identities[index]!.uses++
  }

  find(shortId: string): number | undefined {
    return this.#indexByShortId.get(shortId)
  }

  findPeer(peerId: PeerId): number | undefined {
    return this.#indexByPeerId.get(peerId)
  }

  peerIdAt(index: number): PeerId {
    return this.#identities[index]!.peerId
  }

  shortIdAt(index: number): string {
    return this.#identities[index]!.shortId
  }

  /** The number of a record; each call must be matched by `releaseRecord`. */
  acquireRecord(signed: SignedRecord): number {
    const known = this.#recordByHash.get(signed.hash)
    if (known !== undefined) {
      this.#records[known]!.uses++
      return known
    }
    const index = this.#freeRecords.pop() ?? this.#records.length
    this.#records[index] = { signed, uses: 1 }
    this.#recordByHash.set(signed.hash, index)
    const { name } = signed.record
    const namesakes = this.#recordsByName.get(name)
    if (namesakes === undefined) this.#recordsByName.set(name, new Set([index]))
    else namesakes.add(index)
    return index
  }

  /** One more use of a record that is in use. */
  retainRecord(index: number): void {
    this.#records[index]!.uses++
  }

  releaseRecord(index: number): void {
    const entry = this.#records[index]
    if (entry === undefined || --entry.uses > 0) return
    const { hash, record } = entry.signed
    this.#recordByHash.delete(hash)
    const namesakes = this.#recordsByName.get(record.name)
    namesakes?.delete(index)
    if (namesakes?.size === 0) this.#recordsByName.delete(record.name)
    this.#freeRecords.push(index)
  }

  recordAt(index: number): SignedRecord {
    return this.#records[index]!.signed
  }

  findRecord(hash: string): SignedRecord | undefined {
    const index = this.#recordByHash.get(hash)
    return index === undefined ? undefined : this.#records[index]?.signed
  }

  /** Identities of which some record has this name. */
  *namesakes(name: string): Iterable<number> {
    for (const record of this.#recordsByName.get(name) ?? []) {
      const index = this.#indexByShortId.get(this.recordAt(record).shortId)
      if (index !== undefined) yield index
    }
  }
}
