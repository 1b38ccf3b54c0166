/** Who gave which bytes of a body, as far as they have not gone out yet. */
export class GivenBytes {
  readonly #givers = new Set<number>()
  #parts: { source: number; from: number; to: number }[] = []

  /** All that gave bytes since the beginning. */
  get givers(): ReadonlySet<number> {
    return this.#givers
  }

  note(source: number, from: number, to: number): void {
    this.#givers.add(source)
    const last = this.#parts.at(-1)
    if (last?.source === source && last.to === from) last.to = to
    else this.#parts.push({ source, from, to })
  }

  /** Who gave bytes from `from` up to, not including, `to`. */
  between(from: number, to: number): Set<number> {
    return new Set(this.#parts.filter((part) => part.from < to && part.to > from).map(({ source }) => source))
  }

  /** All bytes before `to` have gone out. */
  forward(to: number): void {
    this.#parts = this.#parts.filter((part) => part.to > to)
  }

  forgetFrom(sources: ReadonlySet<number>): void {
    this.#parts = this.#parts.filter(({ source }) => !sources.has(source))
  }

  clear(): void {
    this.#givers.clear()
    this.#parts = []
  }
}
