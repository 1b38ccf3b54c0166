import type { Digest } from '../core/digest.ts'
import type { TagPair } from './elements.ts'
import { Reachability } from './reachability.ts'
import { type Steps, stepElements } from './transition.ts'

/** What an inventory gained and lost, or a part of it; no element is named twice in all parts. */
export interface InventoryChange {
  readonly registry: string
  readonly addedDigests: readonly Digest[]
  readonly removedDigests: readonly Digest[]
  readonly addedTags: readonly TagPair[]
  readonly removedTags: readonly TagPair[]
}

interface NamedPair {
  readonly pair: TagPair
  /** Images that say so: the same name in several namespaces counts for each. */
  images: number
}

function pairKey(pair: TagPair): string {
  return `${pair.repository}:${pair.tag}@${pair.digest}`
}

/**
 * One registry's part of the local inventory. Changes only mark what they touch; `settle` then looks at each touched
 * digest and pair once, so that what comes and goes within one change is not told.
 */
export class LocalRegistry {
  readonly reach: Reachability
  readonly digests = new Set<Digest>()
  readonly #registry: string
  readonly #tags = new Map<string, TagPair>()
  readonly #named = new Map<string, NamedPair>()
  readonly #pairsOf = new Map<Digest, Set<string>>()
  readonly #repositories = new Map<string, number>()
  readonly #touchedDigests = new Set<Digest>()
  readonly #touchedPairs = new Map<string, TagPair>()
  readonly #isPresent: (digest: Digest) => boolean
  readonly #isLabelled: (digest: Digest) => boolean
  readonly #offersTag: (pair: TagPair) => boolean

  constructor(
    registry: string,
    store: {
      isPresent: (digest: Digest) => boolean
      childrenOf: (digest: Digest) => readonly Digest[] | undefined
      /** Does a source label that counts name this registry? */
      isLabelled: (digest: Digest) => boolean
      offersTag: (pair: TagPair) => boolean
    },
  ) {
    this.#registry = registry
    this.#isPresent = store.isPresent
    this.#isLabelled = store.isLabelled
    this.#offersTag = store.offersTag
    this.reach = new Reachability(store.childrenOf, (digest) => this.#touchedDigests.add(digest))
  }

  /** Nothing names this registry any more. */
  get empty(): boolean {
    return this.reach.empty && this.#named.size === 0 && this.digests.size === 0 && !this.isNamed
  }

  /** Does an image reference name this registry? */
  get isNamed(): boolean {
    return this.#repositories.size > 0
  }

  get tagCount(): number {
    return this.#tags.size
  }

  tags(): Iterable<TagPair> {
    return this.#tags.values()
  }

  hasTag(pair: TagPair): boolean {
    return this.#tags.has(pairKey(pair))
  }

  hasRepository(repository: string): boolean {
    return this.#repositories.has(repository)
  }

  /** Something about a digest has changed: its presence or its labels. */
  touch(digest: Digest): void {
    this.#touchedDigests.add(digest)
    for (const key of this.#pairsOf.get(digest) ?? []) {
      const named = this.#named.get(key)
      if (named !== undefined) this.#touchedPairs.set(key, named.pair)
    }
  }

  /** An image names a repository here, with a tag or (by digest) without. */
  addImage(repository: string, tag: string | undefined, target: Digest): void {
    this.#repositories.set(repository, (this.#repositories.get(repository) ?? 0) + 1)
    this.reach.addRoot(target)
    if (tag === undefined) return
    const pair = { repository, tag, digest: target }
    const key = pairKey(pair)
    const named = this.#named.get(key) ?? { pair, images: 0 }
    named.images += 1
    this.#named.set(key, named)
    const pairs = this.#pairsOf.get(target) ?? new Set()
    this.#pairsOf.set(target, pairs.add(key))
    this.#touchedPairs.set(key, pair)
  }

  /** Undoes `addImage`. */
  removeImage(repository: string, tag: string | undefined, target: Digest): void {
    const uses = (this.#repositories.get(repository) ?? 1) - 1
    if (uses === 0) this.#repositories.delete(repository)
    else this.#repositories.set(repository, uses)
    this.reach.removeRoot(target)
    if (tag === undefined) return
    const pair = { repository, tag, digest: target }
    const key = pairKey(pair)
    const named = this.#named.get(key)
    if (named === undefined) return
    named.images -= 1
    this.#touchedPairs.set(key, pair)
    if (named.images > 0) return
    this.#named.delete(key)
    const pairs = this.#pairsOf.get(target)
    pairs?.delete(key)
    if (pairs?.size === 0) this.#pairsOf.delete(target)
  }

  /** What the touched elements have come to, in parts of bounded size; empty where nothing has changed. */
  *settle(): Steps<InventoryChange[]> {
    const parts: InventoryChange[] = []
    const touched = [...this.#touchedDigests]
    const touchedPairs = [...this.#touchedPairs]
    this.#touchedDigests.clear()
    this.#touchedPairs.clear()
    for (const digests of chunks(touched)) {
      const changed = digests.filter((digest) => this.#offersDigest(digest) !== this.digests.has(digest))
      const added = changed.filter((digest) => !this.digests.has(digest))
      const removed = changed.filter((digest) => this.digests.has(digest))
      for (const digest of added) this.digests.add(digest)
      for (const digest of removed) this.digests.delete(digest)
      if (changed.length > 0) parts.push(this.#part({ addedDigests: added, removedDigests: removed }))
      yield
    }
    for (const pairs of chunks(touchedPairs)) {
      const changed = pairs.filter(([key, pair]) => this.#offersPair(key, pair) !== this.#tags.has(key))
      const added = changed.filter(([key]) => !this.#tags.has(key))
      const removed = changed.filter(([key]) => this.#tags.has(key))
      for (const [key, pair] of added) this.#tags.set(key, pair)
      for (const [key] of removed) this.#tags.delete(key)
      const pairsOf = (entries: typeof pairs) => entries.map(([, pair]) => pair)
      if (changed.length > 0) {
        parts.push(this.#part({ addedTags: pairsOf(added), removedTags: pairsOf(removed) }))
      }
      yield
    }
    return parts
  }

  #offersDigest(digest: Digest): boolean {
    return this.#isPresent(digest) && (this.reach.reaches(digest) || this.#isLabelled(digest))
  }

  #offersPair(key: string, pair: TagPair): boolean {
    return this.#named.has(key) && this.#isPresent(pair.digest) && this.#offersTag(pair)
  }

  #part(lists: Partial<InventoryChange>): InventoryChange {
    const none = { addedDigests: [], removedDigests: [], addedTags: [], removedTags: [] }
    return { registry: this.#registry, ...none, ...lists }
  }
}

/** Pieces of up to `stepElements`, in order. */
function* chunks<T>(items: Iterable<T>): Generator<T[]> {
  let chunk: T[] = []
  for (const item of items) {
    chunk.push(item)
    if (chunk.length < stepElements) continue
    yield chunk
    chunk = []
  }
  if (chunk.length > 0) yield chunk
}
