import type { Digest } from '../core/digest.ts'

/** A chain of children longer than this is not followed: an index of indexes has three or four steps. */
export const maxDepth = 8

/**
 * What one registry's images reach. Each digest counts, for each depth, by how many roots and parents it is named
 * there. As depths only grow along a path and end at `maxDepth`, cycles and endless chains are bounded, and taking
 * a root away undoes exactly what adding it did.
 */
export class Reachability {
  readonly #counts = new Map<Digest, number[]>()
  readonly #childrenOf: (digest: Digest) => readonly Digest[] | undefined
  readonly #touched: (digest: Digest) => void

  /**
   * `childrenOf` names the children of a digest that is present; `touched` is called for each digest that begins or
   * ceases to be reached.
   */
  constructor(
    childrenOf: (digest: Digest) => readonly Digest[] | undefined,
    touched: (digest: Digest) => void,
  ) {
    this.#childrenOf = childrenOf
    this.#touched = touched
  }

  get empty(): boolean {
    return this.#counts.size === 0
  }

  /** Digests that are roots themselves. */
  get rootCount(): number {
    let roots = 0
    for (const counts of this.#counts.values()) if ((counts[0] ?? 0) > 0) roots += 1
    return roots
  }

  reaches(digest: Digest): boolean {
    return this.#counts.has(digest)
  }

  addRoot(digest: Digest): void {
    this.#name(digest, 0)
  }

  removeRoot(digest: Digest): void {
    this.#unname(digest, 0)
  }

  /** A reached digest has become present: its children are reached too. */
  appeared(digest: Digest, children: readonly Digest[]): void {
    for (const depth of this.#depthsOf(digest)) {
      for (const child of children) this.#name(child, depth + 1)
    }
  }

  /** A reached digest is gone, and with it what it named. */
  vanished(digest: Digest, children: readonly Digest[]): void {
    for (const depth of this.#depthsOf(digest)) {
      for (const child of children) this.#unname(child, depth + 1)
    }
  }

  #depthsOf(digest: Digest): number[] {
    return (this.#counts.get(digest) ?? []).flatMap((count, depth) => (count > 0 ? [depth] : []))
  }

  #name(digest: Digest, depth: number): void {
    if (depth > maxDepth) return
    let counts = this.#counts.get(digest)
    if (counts === undefined) {
      counts = []
      this.#counts.set(digest, counts)
      this.#touched(digest)
    }
    while (counts.length <= depth) counts.push(0)
    counts[depth]! += 1
    if (counts[depth] !== 1) return
    for (const child of this.#childrenOf(digest) ?? []) this.#name(child, depth + 1)
  }

  #unname(digest: Digest, depth: number): void {
    if (depth > maxDepth) return
    const counts = this.#counts.get(digest)
    if (counts === undefined || !counts[depth]) return
    counts[depth]! -= 1
    if (counts[depth] !== 0) return
    if (counts.every((count) => count === 0)) {
      this.#counts.delete(digest)
      this.#touched(digest)
    }
    for (const child of this.#childrenOf(digest) ?? []) this.#unname(child, depth + 1)
  }
}
