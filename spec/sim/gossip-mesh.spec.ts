import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { measuredCosts } from './gossip/costs.ts'
import { GossipOverlay } from './gossip/overlay.ts'
import { PackedQueue } from './gossip/packed-queue.ts'
import { gossipSettings } from './gossip/settings.ts'
import { drawTopology } from './gossip/topology.ts'
import { seededRng, simulationSeed } from './random.ts'

const seed = simulationSeed(20_301_104)

test('events come out by time, and equal times in the order in which they went in', () => {
  const property = fc.property(fc.array(fc.nat(20), { maxLength: 3000 }), (times) => {
    const queue = new PackedQueue()
    for (const [index, atMs] of times.entries()) queue.push(atMs, 1, 2, 3, index)
    const taken: [number, number][] = []
    for (let event = queue.pop(); event !== undefined; event = queue.pop())
      taken.push([event.atMs, event.message])
    const expected = times.map((atMs, index): [number, number] => [atMs, index])
    assert.deepEqual(
      taken,
      expected.toSorted((a, b) => a[0] - b[0] || a[1] - b[1]),
    )
  })
  fc.assert(property, { seed, numRuns: 30 })
})

test('the mesh of every node is within its bounds, and a link is in both meshes or in none', () => {
  const nodes = 300
  const overlay = new GossipOverlay({
    nodes,
    edges: drawTopology(nodes, seededRng(seed)),
    seed,
    costs: measuredCosts,
    cores: 'own',
  })
  overlay.run(10_000)
  for (let node = 0; node < nodes; node++) {
    const size = overlay.mesh.sizeOf(node)
    assert.ok(size >= gossipSettings.Dlo && size <= gossipSettings.Dhi, `node ${node} has ${size}`)
    for (const { peer, inMesh } of overlay.mesh.links[node]!) {
      const back = overlay.mesh.links[peer]!.find((link) => link.peer === node)
      assert.equal(back?.inMesh, inMesh, `${node} and ${peer}`)
    }
  }
})

test('who lacks a message is told of it by others and asks for it, and all have it in the end', () => {
  const nodes = 60
  const lateMs = 20_000
  const overlay = new GossipOverlay({
    nodes,
    edges: drawTopology(nodes, seededRng(seed)),
    seed,
    costs: measuredCosts,
    cores: 'own',
    // Most frames are stuck, and all that follows them on their connection.
    delayMs: (rng) => (rng.next() < 0.6 ? lateMs : 1),
  })
  overlay.run(5_000)
  const message = overlay.publish(7, 400)
  overlay.run(overlay.nowMs + lateMs / 2)
  assert.ok(overlay.counts.iwant > 0, `${overlay.counts.ihave} were told`)
  assert.equal(overlay.runUntilSpread(message, 3 * lateMs), true)
})
