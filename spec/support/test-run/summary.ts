import { formatTable } from '../table.ts'
import type { TestResult } from './event-reporter.ts'
import type { FileResult } from './run-file.ts'

/** A part of the run: a check such as lint, or a group of spec files. */
export interface Part {
  readonly name: string
  readonly durationMs: number
  readonly files: readonly FileResult[]
  /** Set where a check failed. */
  readonly problem: string | undefined
}

export interface Totals {
  readonly passed: number
  readonly failed: number
  readonly skipped: number
}

const indent = (text: string) => text.replace(/^/gm, '    ')

/** The failures of a file, readable; empty where there are none. */
export function describeFailures(file: FileResult): string {
  const failed = file.results.filter((result) => result.outcome === 'failed')
  if (failed.length === 0 && file.problem === undefined) return ''
  const lines = failed.map(
    (result) => `✗ ${file.file}:${result.line ?? 0}\n  ${result.path.join(' › ')}\n${indent(result.detail)}`,
  )
  if (file.problem !== undefined) lines.push(`✗ ${file.file} ${file.problem}`)
  if (file.output.trim() !== '') lines.push(`  printed:\n${indent(file.output.trimEnd())}`)
  return lines.join('\n')
}

function count(results: readonly TestResult[], outcome: TestResult['outcome']): number {
  return results.filter((result) => result.outcome === outcome).length
}

function totalsOf(part: Part): Totals {
  const results = part.files.flatMap((file) => file.results)
  const broken = part.files.filter((file) => file.problem !== undefined).length
  return {
    passed: count(results, 'passed'),
    failed: count(results, 'failed') + broken + (part.problem === undefined ? 0 : 1),
    skipped: count(results, 'skipped'),
  }
}

/** Prints the time of each part, the skipped tests by name, and at the very end, alone on its line, the totals. */
export function printSummary(parts: readonly Part[], print: (text: string) => void): Totals {
  const rows = parts.map((part) => {
    const { passed, failed, skipped } = totalsOf(part)
    return [part.name, part.files.length, passed, failed, skipped, `${(part.durationMs / 1000).toFixed(1)} s`]
  })
  print(`\n${formatTable(['part', 'files', 'passed', 'failed', 'skipped', 'time'], rows)}\n`)
  const skipped = parts.flatMap((part) =>
    part.files.flatMap((file) =>
      file.results
        .filter((result) => result.outcome === 'skipped')
        .map(
          (result) => `  ${file.file}: ${result.path.join(' › ')}${result.detail && ` (${result.detail})`}`,
        ),
    ),
  )
  if (skipped.length > 0) print(`Skipped:\n${skipped.join('\n')}\n`)
  const totals = parts.map(totalsOf).reduce(
    (sum, part) => ({
      passed: sum.passed + part.passed,
      failed: sum.failed + part.failed,
      skipped: sum.skipped + part.skipped,
    }),
    { passed: 0, failed: 0, skipped: 0 },
  )
  print(`${totals.passed} passed, ${totals.failed} failed, ${totals.skipped} skipped`)
  return totals
}
