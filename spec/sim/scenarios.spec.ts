import assert from 'node:assert/strict'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { runToEnd } from '../support/processes.ts'
import * as announcements from './gossip/announce-scenarios.ts'
import { SimKernel } from './kernel.ts'
import { SimCluster } from './membership/cluster.ts'
import { Measure } from './membership/measure.ts'
import * as scenarios from './membership/scenarios.ts'
import { simulationSeed } from './random.ts'
import { isScenario } from './scenario.ts'

const seed = simulationSeed(20_301_102)
const nodes = Number(process.env.STARLING_SIM_NODES ?? 200)
const main = join(import.meta.dirname, 'main.ts')
const sim = (...args: string[]) => runToEnd(process.execPath, [main, ...args])
const quiet = () => undefined

describe(`scenarios with ${nodes} nodes (seed ${seed})`, () => {
  for (const scenario of [scenarios, announcements].flatMap(Object.values).filter(isScenario)) {
    test(`${scenario.name}: ${scenario.title}; all agree, in time, and nobody is wronged`, (t) => {
      t.diagnostic(`repeat with STARLING_SIM_SEED=${seed}`)
      const { columns, rows } = scenario.run({ nodes, seed, quick: true, traceDepth: 40, log: quiet })
      const [row = []] = rows
      assert.equal(row.length, columns.length)
      t.diagnostic(columns.map((column, index) => `${column} ${row[index]}`).join(', '))
      const value = (name: string) => Number(row[columns.indexOf(name)])
      assert.ok(value('KiB/s a node') < 50, 'idle and troubled traffic')
    })
  }

  test('a detection that came too late names who was late, with its last steps', () => {
    const cluster = new SimCluster(new SimKernel(seed))
    cluster.bootSettled(5)
    const measure = new Measure(cluster)
    measure.down('n3')
    cluster.kernel.halt('n3', 'vanished')
    cluster.kernel.run(30_000)
    assert.throws(
      () => measure.assertDetected(1000),
      (error: Error) => {
        assert.match(error.message, new RegExp(`^I3: seed ${seed}: p99 .* n\\d learned of n3 after \\d+ ms`))
        assert.match(error.message, /the last steps of n\d:\n.* ms timer /)
        return true
      },
    )
  })

  test('a violated invariant is named, with the seed and the last steps of the node', () => {
    const cluster = new SimCluster(new SimKernel(seed))
    cluster.bootSettled(5)
    const measure = new Measure(cluster)
    cluster.kernel.partition([['n0'], ['n1', 'n2', 'n3', 'n4']])
    cluster.kernel.run(30_000)
    assert.throws(
      () => measure.converge(1000),
      (error: Error) => {
        assert.match(error.message, new RegExp(`^I7: seed ${seed}: n0 holds n1 for dead`))
        assert.match(error.message, /the last steps of n0:\n.* ms timer /)
        return true
      },
    )
    cluster.kernel.healAll()
    cluster.kernel.cut('n0', 'n1')
    measure.converge(120_000)
  })
})

describe('npm run sim', () => {
  test('names its scenarios, and does not know others', async () => {
    const { code, stdout } = await sim('--scenario', 'weather')
    assert.equal(code, 2)
    assert.match(stdout, /There is no scenario weather/)
    assert.match(stdout, /^rolling-restart /m)
  })

  test('equal seeds give equal tables, and other seeds others', async () => {
    const tableOf = async (seed: string) => {
      const args = ['--nodes', '30', '--scenario', 'loss-10', '--quick', '--seed', seed]
      const { code, stdout } = await sim(...args)
      assert.equal(code, 0, stdout)
      assert.match(stdout, new RegExp(`seed ${seed}`))
      return stdout.split('\n').find((line) => line.startsWith('loss-10'))
    }
    const [first, again, other] = await Promise.all([tableOf('7'), tableOf('7'), tableOf('8')])
    assert.equal(first, again)
    assert.notEqual(first, other)
  })
})
