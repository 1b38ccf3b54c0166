import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { modelCounts } from './gossip/fit.ts'
import type { GossipCounts } from './gossip/gossip-counts.ts'
import type { Observation } from './gossip/observation.ts'
import { RealOverlay } from './gossip/real-overlay.ts'
import { gossipSettings } from './gossip/settings.ts'

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
