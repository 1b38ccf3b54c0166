/** Columns are typed arrays of equal length that grow together. */

/** How long columns should be to hold `index` as well. */
export function grownSize(size: number, index: number): number {
  return Math.max(16, Math.ceil(1.25 * size), index + 1)
}

/** Returns `to` with the entries of `from` at its beginning. */
export function grown<T extends { set(from: T): void }>(from: T, to: T): T {
  to.set(from)
  return to
}
