/**
 * `npm run bench [-- NAME …] [--part PART …] [--rounds N] [--quick] [--json FILE]`: runs the benchmarks whose names are given (all without any), prints each
 * as a table, and at the end everything as JSON, with the facts of the machine. `--list` only names them; `--quick` makes
 * them short and their figures rough.
 */
import { globSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { availableParallelism, cpus, loadavg, release, totalmem } from 'node:os'
import { basename, join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { parseArgs } from 'node:util'
import { formatSize } from '../../lib/core/units.ts'
import { formatTable } from '../support/table.ts'
import type { Benchmark, Table } from './benchmark.ts'

interface BenchmarkResult extends Table {
  readonly name: string
  readonly title: string
  readonly durationMs: number
  /** Processes that were running or ready in the minute before: on a machine that does nothing else near 0. */
  readonly loadBefore: number
}

const print = (text: string) => process.stdout.write(`${text}\n`)

function isBenchmark(value: unknown): value is Benchmark {
  const candidate = value as Partial<Benchmark> | null
  return typeof candidate?.name === 'string' && typeof candidate.run === 'function'
}

/** Every export of a file in this folder that is a benchmark. */
async function findBenchmarks(): Promise<Benchmark[]> {
  const files = globSync('*.ts', { cwd: import.meta.dirname }).sort()
  const found: Benchmark[] = []
  for (const file of files) {
    if (file === basename(import.meta.filename) || file.endsWith('.spec.ts')) continue
    const module = (await import(pathToFileURL(join(import.meta.dirname, file)).href)) as Record<
      string,
      unknown
    >
    found.push(...Object.values(module).filter(isBenchmark))
  }
  return found
}

function machineFacts(): Record<string, string | number> {
  return {
    processor: cpus()[0]?.model.trim() ?? 'unknown',
    processors: availableParallelism(),
    memory: formatSize(totalmem()),
    kernel: release(),
    node: process.version,
  }
}

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      json: { type: 'string' },
      quick: { type: 'boolean', default: false },
      list: { type: 'boolean' },
      part: { type: 'string', multiple: true },
      rounds: { type: 'string' },
    },
  })
  const all = await findBenchmarks()
  const unknownPart = values.part?.find(
    (part) =>
      !all.some((benchmark) => positionals.includes(benchmark.name) && benchmark.parts?.includes(part)),
  )
  const unknown = positionals.filter((name) => !all.some((benchmark) => benchmark.name === name))
  if (values.list === true || unknown.length > 0 || unknownPart !== undefined) {
    if (unknownPart !== undefined) print(`No benchmark of those named has a part ${unknownPart}. There are:`)
    if (unknown.length > 0) print(`There is no benchmark ${unknown.join(', ')}. There are:`)
    print(
      formatTable(
        ['name', 'what'],
        all.map(({ name, title, parts }) => [
          name,
          parts === undefined ? title : `${title}; --part ${parts.join(', ')}`,
        ]),
      ),
    )
    process.exitCode = values.list === true ? 0 : 2
    return
  }
  const { quick, part: parts } = values
  const rounds =
    values.rounds === undefined ? undefined : Math.max(1, Number.parseInt(values.rounds, 10) || 1)
  const machine = machineFacts()
  print(formatTable(['machine', ''], Object.entries(machine)))
  const results: BenchmarkResult[] = []
  for (const benchmark of all) {
    if (positionals.length > 0 && !positionals.includes(benchmark.name)) continue
    print(`\n# ${benchmark.name}: ${benchmark.title}\n`)
    const loadBefore = loadavg()[0] ?? 0
    const startedMs = performance.now()
    try {
      const found = await benchmark.run((line) => process.stderr.write(`  ${line}\n`), {
        quick,
        parts,
        rounds,
      })
      const durationMs = Math.round(performance.now() - startedMs)
      for (const table of Array.isArray(found) ? (found as readonly Table[]) : [found as Table]) {
        results.push({ name: benchmark.name, title: benchmark.title, durationMs, loadBefore, ...table })
        if (table.part !== undefined) print(`## ${table.part}\n`)
        print(formatTable(table.columns, table.rows))
        for (const note of table.notes ?? []) print(`\n${note}`)
        print('')
      }
      print(
        `\nLoad of the machine before: ${loadBefore.toFixed(1)}. It took ${(durationMs / 1000).toFixed(0)} s.`,
      )
    } catch (error) {
      print(`failed: ${error instanceof Error ? error.stack : String(error)}`)
      process.exitCode = 1
    }
  }
  const json = JSON.stringify({ machine, measuredAt: new Date().toISOString(), quick, results })
  if (values.json === undefined) print(`\n${json}`)
  else await writeFile(values.json, `${json}\n`)
}

await main()
