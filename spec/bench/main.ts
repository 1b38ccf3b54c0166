/**
 * `npm run bench [-- NAME …] [--json FILE]`: runs the benchmarks whose names are given (all without any), prints each as a
 * table, and at the end everything as JSON, with the facts of the machine.
 */
import { globSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { availableParallelism, cpus, release, totalmem } from 'node:os'
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
}

const print = (text: string) => process.stdout.write(`${text}\n`)

function isBenchmark(value: unknown): value is Benchmark {
  const candidate = value as Partial<Benchmark> | null
  return typeof candidate?.name === 'string' && typeof candidate.run === 'function'
}

/** Every export of a file in this folder that is a benchmark. */
async function findBenchmarks(): Promise<Benchmark[]> {
  const files = globSync('**/*.ts', { cwd: import.meta.dirname }).sort()
  const found: Benchmark[] = []
  for (const file of files) {
    if (file === basename(import.meta.filename)) continue
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
    options: { json: { type: 'string' }, list: { type: 'boolean' } },
  })
  const all = await findBenchmarks()
  const unknown = positionals.filter((name) => !all.some((benchmark) => benchmark.name === name))
  if (values.list === true || unknown.length > 0) {
    if (unknown.length > 0) print(`There is no benchmark ${unknown.join(', ')}. There are:`)
    print(
      formatTable(
        ['name', 'what'],
        all.map(({ name, title }) => [name, title]),
      ),
    )
    process.exitCode = unknown.length > 0 ? 2 : 0
    return
  }
  const machine = machineFacts()
  print(formatTable(['machine', ''], Object.entries(machine)))
  const results: BenchmarkResult[] = []
  for (const benchmark of all) {
    if (positionals.length > 0 && !positionals.includes(benchmark.name)) continue
    print(`\n# ${benchmark.title}\n`)
    const startedMs = performance.now()
    try {
      const table = await benchmark.run((line) => process.stderr.write(`  ${line}\n`))
      const durationMs = Math.round(performance.now() - startedMs)
      results.push({ name: benchmark.name, title: benchmark.title, durationMs, ...table })
      print(formatTable(table.columns, table.rows))
      for (const note of table.notes ?? []) print(`\n${note}`)
    } catch (error) {
      print(`failed: ${error instanceof Error ? error.stack : String(error)}`)
      process.exitCode = 1
    }
  }
  const json = JSON.stringify({ machine, measuredAt: new Date().toISOString(), results })
  if (values.json === undefined) print(`\n${json}`)
  else await writeFile(values.json, `${json}\n`)
}

await main()
