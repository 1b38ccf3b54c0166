import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { Swarm, swarmFigures } from './flights/swarm.ts'
import { simulationSeed } from './random.ts'

const mib = 2 ** 20
const mbit = 125_000
const seed = simulationSeed(20_301_102)
const links = { upstreamRate: 100 * mbit, linkRate: 200 * mbit }

/** A layer of 3.1 MiB, one of four that share the links of twenty nodes. */
const small = { sizeBytes: 3.1 * mib, upstreamRate: 3 * mbit, linkRate: 6 * mbit }
const smallIdealMs = (small.sizeBytes / small.upstreamRate) * 1000

function smallBlob(pauseMs: number, of: number) {
  const swarm = new Swarm({ nodes: 20, ...small, pauseMs, spreadMs: 1000, seed: of })
  swarm.run(180_000)
  return swarmFigures(swarm, small.sizeBytes)
}

test(`eight nodes take one copy from upstream and little more time than it takes (seed ${seed})`, () => {
  const sizeBytes = 200 * mib
  const swarm = new Swarm({ nodes: 8, sizeBytes, ...links, seed })
  swarm.run(120_000)
  const { makespanMs, copies, done } = swarmFigures(swarm, sizeBytes)
  assert.equal(done, 8)
  assert.ok(copies < 1.01, `${copies} copies`)
  const idealMs = (sizeBytes / links.upstreamRate) * 1000
  assert.ok(makespanMs < 1.3 * idealMs, `${makespanMs} ms instead of ${idealMs}`)
})

test('a small blob from a slow upstream, which shows in steps of seconds, makes nobody give its parent up', () => {
  const { copies, makespanMs, done } = smallBlob(0, seed)
  assert.equal(done, 20)
  assert.ok(copies < 1.01, `${copies} copies`)
  assert.ok(makespanMs < 1.5 * smallIdealMs, `${makespanMs} ms instead of ${smallIdealMs}`)
})

test('twenty nodes that get no processor for up to a second, half of all time, take little more than one copy', () => {
  const runs = Array.from({ length: 10 }, (_, index) => smallBlob(1000, index))
  const copies = runs.reduce((sum, run) => sum + run.copies, 0) / runs.length
  for (const { done } of runs) assert.equal(done, 20)
  assert.ok(copies <= 1.3, `${copies} copies`)
})

test('three hundred nodes are done in less than twice the ideal time, and the tree stays shallow', () => {
  const sizeBytes = 200 * mib
  const swarm = new Swarm({ nodes: 300, sizeBytes, ...links, zones: 3, seed })
  swarm.run(240_000)
  const { makespanMs, copies, done, depth, messagesPerNode } = swarmFigures(swarm, sizeBytes)
  assert.equal(done, 300)
  assert.ok(copies < 1.01, `${copies} copies`)
  assert.ok(depth <= 24 + 9, `${depth} steps`)
  assert.ok(makespanMs < (2 * sizeBytes * 1000) / links.upstreamRate, `${makespanMs} ms`)
  assert.ok(messagesPerNode < 300, `${messagesPerNode} messages a node`)
})

test('whatever is killed, cut or lost, every node that lives gets the blob, and nothing is left of soft state', () => {
  const scenarios = fc.record({
    seed: fc.nat(),
    nodes: fc.integer({ min: 2, max: 24 }),
    lossRate: fc.constantFrom(0, 0.02, 0.2),
    sizeBytes: fc.constantFrom(100_000, 8 * mib, 40 * mib),
    kills: fc.array(
      fc.record({
        atMs: fc.integer({ min: 100, max: 6000 }),
        who: fc.constantFrom('leader', 'follower', 'steward'),
        index: fc.nat(30),
      }),
      { maxLength: 5 },
    ),
    cutMs: fc.constantFrom(0, 3000, 15_000),
  })
  fc.assert(
    fc.property(scenarios, ({ kills, cutMs, ...options }) => {
      const swarm = new Swarm({ ...options, ...links })
      const { nodes } = swarm
      let alive = nodes.length
      for (const { atMs, who, index } of [...kills].sort((a, b) => a.atMs - b.atMs)) {
        swarm.run(atMs)
        const able = nodes.filter((node) => {
          if (!node.alive || node.doneMs !== undefined) return false
          if (who === 'leader') return node.source === 'upstream'
          return who === 'steward' ? node.steward.size > 0 : typeof node.source === 'object'
        })
        const victim = able[index % Math.max(1, able.length)]
        if (victim === undefined || alive === 1) continue
        swarm.kill(victim)
        alive--
      }
      if (cutMs > 0) {
        swarm.cutUpstream(true)
        swarm.run(swarm.nowMs + cutMs)
        swarm.cutUpstream(false)
      }
      // Alone each would need this long, one after the other's loss at worst.
      swarm.run(swarm.nowMs + 120_000)
      const without = nodes.filter((node) => node.alive && node.doneMs === undefined)
      assert.deepEqual(
        without.map(({ index, offset, source }) => [
          index,
          offset,
          typeof source === 'object' ? source.index : source,
        ]),
        [],
      )
      swarm.settle(swarm.nowMs + 90_000)
      for (const { alive: lives, steward, claimant } of nodes) {
        if (!lives) continue
        assert.equal(steward.size, 0)
        assert.equal(claimant.wakeAtMs, undefined)
      }
    }),
    { seed, numRuns: Number(process.env.STARLING_SIM_RUNS ?? 60) },
  )
})
