import { ElementIndex } from './element-index.ts'
import type { TagPair } from './elements.ts'
import { postingColumns } from './postings.ts'

/** The next pair with the same repository and tag, plus one. */
const nextColumn = postingColumns

/** Pairs of tag and digest in one registry, found by name as well. */
export class TagIndex extends ElementIndex {
  readonly #pairs: (TagPair | undefined)[] = []
  /** By repository and tag the first of the pairs with that name. */
  readonly #names = new Map<string, Map<string, number>>()

  constructor(seed: number) {
    super(seed, 1)
  }

  /** The number of a pair, whose key must be the one given. */
  internPair(pair: TagPair, key: Uint8Array): number {
    const id = this.table.intern(key)
    if (this.#pairs[id] !== undefined) return id
    this.#pairs[id] = pair
    let tags = this.#names.get(pair.repository)
    if (tags === undefined) {
      tags = new Map()
      this.#names.set(pair.repository, tags)
    }
    const first = tags.get(pair.tag)
    this.table.set(id, nextColumn, first === undefined ? 0 : first + 1)
    tags.set(pair.tag, id)
    return id
  }

  pair(id: number): TagPair {
    const pair = this.#pairs[id]
    if (pair === undefined) throw new RangeError(`there is no tag pair ${id}`)
    return pair
  }

  /** The numbers of all pairs with a name: one for each digest that somebody claims for it. */
  *named(repository: string, tag: string): Generator<number> {
    let next = (this.#names.get(repository)?.get(tag) ?? -1) + 1
    while (next > 0) {
      yield next - 1
      next = this.table.get(next - 1, nextColumn)
    }
  }

  repositories(): Iterable<string> {
    return this.#names.keys()
  }

  tagsOf(repository: string): Iterable<string> {
    return this.#names.get(repository)?.keys() ?? []
  }

  protected override beforeRelease(id: number): void {
    const { repository, tag } = this.pair(id)
    const tags = this.#names.get(repository)!
    const next = this.table.get(id, nextColumn)
    if (tags.get(tag) === id) {
      if (next > 0) tags.set(tag, next - 1)
      else tags.delete(tag)
      if (tags.size === 0) this.#names.delete(repository)
    } else {
      let before = tags.get(tag)!
      while (this.table.get(before, nextColumn) !== id + 1) before = this.table.get(before, nextColumn) - 1
      this.table.set(before, nextColumn, next)
    }
    this.#pairs[id] = undefined
  }
}
