/** What each node did last, for the message of a violated invariant. */
export class CatalogTrace {
  readonly #depth: number
  readonly #lines = new Map<string, string[]>()

  constructor(depth = 40) {
    this.#depth = depth
  }

  add(node: string, atMs: number, what: string): void {
    const lines = this.#lines.get(node) ?? []
    this.#lines.set(node, lines)
    lines.push(`${atMs.toFixed(1)} ms ${what}`)
    if (lines.length > 2 * this.#depth) lines.splice(0, lines.length - this.#depth)
  }

  of(node: string): string {
    return [`the last steps of ${node}:`, ...(this.#lines.get(node) ?? []).slice(-this.#depth)].join('\n')
  }
}
