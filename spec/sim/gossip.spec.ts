import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { fitCosts, modelCounts, modelSpread } from './gossip/fit.ts'
import { type GossipCounts, noCounts } from './gossip/gossip-counts.ts'
import type { Observation } from './gossip/observation.ts'
import { RealOverlay } from './gossip/real-overlay.ts'
import { gossipSettings } from './gossip/settings.ts'

type Recorded = Omit<Observation, 'counts' | 'durationMs'> & { readonly copies: number }

/** Of what was measured; the model must come closer. */
const tolerance = 0.2
/** How often IHAVE is sent depends on how punctual heartbeats are, which a busy machine decides. */
const steadyKinds: readonly (keyof GossipCounts)[] = ['copies', 'idontwant']

function assertClose(what: string, modelled: number, measured: number): void {
  const share = measured === 0 ? modelled : Math.abs(modelled - measured) / measured
  assert.ok(
    share <= tolerance,
    `${what}: ${modelled.toFixed(2)} in the model, ${measured.toFixed(2)} measured`,
  )
}

function assertCountsClose(measured: Observation, kinds = steadyKinds): void {
  const counts = modelCounts(measured)
  const title = `${measured.nodes} nodes, ${measured.sizeBytes} bytes`
  for (const kind of kinds) assertClose(`${title}, ${kind}`, counts[kind], measured.counts[kind])
}

describe('the model of gossipsub', () => {
  test('fitted on 20 nodes, has the delivery times and copies that were measured on 10 and on 40, and for another size', async (t) => {
    const path = join(import.meta.dirname, '..', '..', 'fixtures', 'gossip', 'measured.json')
    const recorded = (JSON.parse(await readFile(path, 'utf8')) as Recorded[]).map((one) => ({
      ...one,
      // Far enough apart that no message meets another.
      durationMs: one.messages * 200,
      counts: { ...noCounts(), copies: one.copies },
    }))
    const [fitted, ...unseen] = recorded
    assert.deepEqual([fitted?.nodes, fitted?.sizeBytes], [20, 1024])
    const costs = fitCosts(fitted!)
    t.diagnostic(JSON.stringify(costs))
    assert.deepEqual(
      unseen.map(({ nodes, sizeBytes }) => [nodes, sizeBytes]),
      [
        [10, 1024],
        [40, 1024],
        [20, 4096],
        [10, 4096],
        [40, 4096],
      ],
    )
    for (const measured of unseen) {
      const modelled = modelSpread(measured, costs)
      const title = `${measured.nodes} nodes, ${measured.sizeBytes} bytes`
      for (const point of ['first', 'half', 'most', 'all'] as const)
        assertClose(`${title}, ${point}`, modelled[point], measured.spread[point])
      assertClose(`${title}, copies`, modelCounts(measured, costs).copies, measured.copies)
    }
  })

  test('has the message counts of the library that is installed, on this machine', async () => {
    await using stack = new AsyncDisposableStack()
    const overlays = [stack.use(await RealOverlay.start(10, 11)), stack.use(await RealOverlay.start(16, 12))]
    const settings = overlays[0]!.settings()
    assert.deepEqual({ ...settings, ...gossipSettings }, settings)
    for (const sizeBytes of [300, 2048]) {
      const load = { messages: 12, sizeBytes, gapMs: 60, quietMs: 1_000, seed: 5 }
      for (const measured of await RealOverlay.play(overlays, load)) assertCountsClose(measured)
    }
  })
})
