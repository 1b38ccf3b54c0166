import type { Digest } from '../core/digest.ts'
import type { TagPair } from './elements.ts'
import { Reachability } from './reachability.ts'

/** What an inventory gained and lost; no element is in both lists. */
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

  /** What the touched elements have come to; undefined where nothing has changed. */
  settle(): InventoryChange | undefined {
    const addedDigests: Digest[] = []
    const removedDigests: Digest[] = []
    for (const digest of this.#touchedDigests) {
      const offered = this.#isPresent(digest) && (this.reach.reaches(digest) || this.#isLabelled(digest))
      if (offered === this.digests.has(digest)) continue
      if (offered) this.digests.add(digest)
      else this.digests.delete(digest)
      ;(offered ? addedDigests : removedDigests).push(digest)
    }
    const addedTags: TagPair[] = []
    const removedTags: TagPair[] = []
    for (const [key, pair] of this.#touchedPairs) {
      const offered = this.#named.has(key) && this.#isPresent(pair.digest) && this.#offersTag(pair)
      if (offered === this.#tags.has(key)) continue
      if (offered) this.#tags.set(key, pair)
      else this.#tags.delete(key)
      ;(offered ? addedTags : removedTags).push(pair)
    }
    this.#touchedDigests.clear()
    this.#touchedPairs.clear()
    const changed = addedDigests.length + removedDigests.length + addedTags.length + removedTags.length
    if (changed === 0) return undefined
    return { registry: this.#registry, addedDigests, removedDigests, addedTags, removedTags }
  }
}
