/**
 * `npm run sim -- [--nodes N] [--scenario NAME …] [--seed N] [--quick] [--trace] [--json FILE]`: plays scenarios with the
 * shipped state machines in virtual time, each prints a table. Without a scenario it names them all. Equal seeds give
 * equal runs; `--trace` keeps the last steps of every node for the message of a violated invariant.
 */
import { globSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { parseArgs } from 'node:util'
import { formatTable } from '../support/table.ts'
import { simulationSeed } from './random.ts'
import { isScenario, type SimScenario } from './scenario.ts'

const print = (text: string) => process.stdout.write(`${text}\n`)

/** Every export of a file `…scenarios.ts` below this folder that is a scenario. */
async function findScenarios(): Promise<SimScenario[]> {
  const files = globSync('**/*scenarios.ts', { cwd: import.meta.dirname }).sort()
  const modules = await Promise.all(
    files.map((file) => import(pathToFileURL(join(import.meta.dirname, file)).href) as Promise<object>),
  )
  return modules.flatMap((module) => Object.values(module).filter(isScenario))
}

function wholeNumber(text: string, flag: string): number {
  const value = Number(text)
  if (Number.isSafeInteger(value) && value >= 0) return value
  throw new Error(`--${flag} ${text} is not a whole number`)
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      nodes: { type: 'string', default: '100' },
      scenario: { type: 'string', multiple: true, default: [] },
      seed: { type: 'string' },
      quick: { type: 'boolean', default: false },
      trace: { type: 'boolean', default: false },
      json: { type: 'string' },
    },
  })
  const all = await findScenarios()
  const chosen = all.filter(({ name }) => values.scenario.includes(name) || values.scenario.includes('all'))
  const unknown = values.scenario.filter((name) => name !== 'all' && !all.some((one) => one.name === name))
  if (unknown.length > 0 || chosen.length === 0) {
    if (unknown.length > 0) print(`There is no scenario ${unknown.join(', ')}. There are:`)
    print(
      formatTable(
        ['name', 'what'],
        all.map(({ name, title }) => [name, title]),
      ),
    )
    process.exitCode = unknown.length > 0 ? 2 : 0
    return
  }
  const nodes = wholeNumber(values.nodes, 'nodes')
  const seed = values.seed === undefined ? simulationSeed(20_301_101) : wholeNumber(values.seed, 'seed')
  const results: object[] = []
  for (const scenario of chosen) {
    print(`\n# ${scenario.name}: ${scenario.title}; ${nodes} nodes, seed ${seed}\n`)
    const traceDepth = values.trace ? 40 : 0
    const log = (line: string) => process.stderr.write(`  ${line}\n`)
    try {
      const table = scenario.run({ nodes, seed, quick: values.quick, traceDepth, log })
      results.push({ scenario: scenario.name, nodes, seed, ...table })
      print(formatTable(table.columns, table.rows))
      for (const note of table.notes ?? []) print(`\n${note}`)
    } catch (error) {
      process.exitCode = 1
      print(`failed: ${error instanceof Error ? error.message : String(error)}`)
    }
  }
  if (values.json !== undefined) await writeFile(values.json, `${JSON.stringify(results)}\n`)
}

await main()
