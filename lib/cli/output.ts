import { Option } from 'commander'
import { stringify } from 'yaml'
import type { CliContext } from './context.ts'

export type OutputFormat = 'table' | 'json' | 'yaml'

export function outputOption(): Option {
  return new Option('-o, --output <format>', 'how to print it')
    .choices(['table', 'json', 'yaml'])
    .default('table')
}

const unprintable = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu

/** Text of another machine on one line of a terminal: control characters could do anything there. */
export function printable(text: string): string {
  return text.replaceAll(unprintable, '\ufffd')
}

function printableDeep(value: unknown): unknown {
  if (typeof value === 'string') return printable(value)
  if (Array.isArray(value)) return value.map(printableDeep)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value).map(([key, inner]) => [printable(key), printableDeep(inner)]),
  )
}

/** Columns aligned by two spaces, no line longer than its content; a header in capitals. */
export function formatTable(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const lines = [header.map((title) => title.toUpperCase()), ...rows.map((row) => row.map(printable))]
  const widths = header.map((_, column) => Math.max(...lines.map((line) => line[column]?.length ?? 0)))
  return lines
    .map((line) =>
      line
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n')
    .concat('\n')
}

/** `name: value` lines, the values aligned; a list gives a line each. */
export function formatFacts(
  facts: readonly (readonly [name: string, value: string | readonly string[]])[],
): string {
  const width = Math.max(...facts.map(([name]) => name.length)) + 1
  const lines = facts.flatMap(([name, value]) =>
    [value]
      .flat()
      .map((text, index) => `${(index === 0 ? `${name}:` : '').padEnd(width)}  ${printable(text)}`),
  )
  return `${lines.join('\n')}\n`
}

/** Prints a value as it came, or as the table that `toText` makes of it. */
export function print<T>(
  context: CliContext,
  format: OutputFormat,
  value: T,
  toText: (value: T) => string,
): void {
  if (format === 'table') context.write(toText(value))
  else if (format === 'yaml') context.write(stringify(printableDeep(value), { lineWidth: 0 }))
  else context.write(`${JSON.stringify(printableDeep(value), null, 2)}\n`)
}

/** `3d 4h`, `12s`: the two greatest units. */
export function formatAge(durationMs: number): string {
  const seconds = Math.max(0, Math.floor(durationMs / 1000))
  const parts = [
    [Math.floor(seconds / 86_400), 'd'],
    [Math.floor(seconds / 3600) % 24, 'h'],
    [Math.floor(seconds / 60) % 60, 'm'],
    [seconds % 60, 's'],
  ] as const
  const first = parts.findIndex(([amount]) => amount > 0)
  if (first === -1) return '0s'
  return parts
    .slice(first, first + 2)
    .filter(([amount]) => amount > 0)
    .map(([amount, unit]) => `${amount}${unit}`)
    .join(' ')
}

/** `sha256:` and the first twelve digits, enough for people. */
export function shortDigest(digest: string): string {
  return digest.slice(0, 'sha256:'.length + 12)
}

const maxListed = 5

/** The first names of a list, and how many more there are. */
export function listSome(names: readonly string[]): string {
  const more = names.length - maxListed
  return `${names.slice(0, maxListed).join(',')}${more > 0 ? ` and ${more} more` : ''}`
}
