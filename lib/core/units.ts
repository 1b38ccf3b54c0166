const durationUnitsMs = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const
const sizeUnitsBytes = {
  B: 1,
  KB: 1e3,
  MB: 1e6,
  GB: 1e9,
  KiB: 2 ** 10,
  MiB: 2 ** 20,
  GiB: 2 ** 30,
  TiB: 2 ** 40,
} as const

/** Milliseconds of `500ms`, `30s`, `1m30s`; undefined where the text is not a duration. */
export function parseDurationMs(text: string): number | undefined {
  if (!/^(?:\d+(?:\.\d+)?(?:ms|s|m|h|d))+$/.test(text)) return undefined
  let total = 0
  for (const [, amount, unit] of text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h|d)/g)) {
    total += Number(amount) * durationUnitsMs[unit as keyof typeof durationUnitsMs]
  }
  return total
}

/** Bytes of `64MiB`, `10GB`, `0B`; undefined where the text is not a size. */
export function parseSizeBytes(text: string): number | undefined {
  const match = /^(\d+(?:\.\d+)?)(B|KB|MB|GB|KiB|MiB|GiB|TiB)$/.exec(text)
  if (match === null) return undefined
  return Math.round(Number(match[1]) * sizeUnitsBytes[match[2] as keyof typeof sizeUnitsBytes])
}

/** The shortest exact form with one unit: `1500ms`, `30s`, `2m`. */
export function formatDuration(durationMs: number): string {
  for (const unit of ['d', 'h', 'm', 's'] as const) {
    const amount = durationMs / durationUnitsMs[unit]
    if (Number.isInteger(amount) && amount > 0) return `${amount}${unit}`
  }
  return `${durationMs}ms`
}

/** The shortest exact form with one unit, which `parseSizeBytes` reads: `8MiB`, `10GB`, `1001B`. */
export function formatExactSize(sizeBytes: number): string {
  for (const unit of ['TiB', 'GB', 'GiB', 'MB', 'MiB', 'KB', 'KiB'] as const) {
    const amount = sizeBytes / sizeUnitsBytes[unit]
    if (Number.isInteger(amount) && amount > 0) return `${amount}${unit}`
  }
  return `${sizeBytes}B`
}

/** For people: three significant digits and a binary unit, `63.9 MiB`. */
export function formatSize(sizeBytes: number): string {
  for (const unit of ['TiB', 'GiB', 'MiB', 'KiB'] as const) {
    const amount = sizeBytes / sizeUnitsBytes[unit]
    if (amount >= 1) return `${amount >= 100 ? Math.round(amount) : Number(amount.toPrecision(3))} ${unit}`
  }
  return `${sizeBytes} B`
}
