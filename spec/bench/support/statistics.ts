/** The value below which this share of the values lies (nearest rank); NaN of none. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)] ?? Number.NaN
}

export function median(values: readonly number[]): number {
  return quantile(values, 0.5)
}

export function round(value: number, digits = 2): number {
  return Number(value.toFixed(digits))
}

/** Median, 99th percentile and greatest. */
export function spread(values: readonly number[], digits = 0): [number, number, number] {
  return [
    round(median(values), digits),
    round(quantile(values, 0.99), digits),
    round(quantile(values, 1), digits),
  ]
}
