import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { HandOver } from '../../../lib/app/registry/hand-over.ts'
import type { RegistrySummary } from '../../../lib/core/cluster.ts'
import type { RegistryControl } from '../../../lib/core/lookup.ts'

const summary = (registry: string, origins: number, digests: number): RegistrySummary => ({
  registry,
  origins,
  digests,
  tags: 0,
  disputedTags: 0,
  localDigests: 0,
  localTags: 0,
  localImages: 0,
})

/** A part that takes over from one that knew `before`; what it knows itself is played by the spec. */
function play(t: TestContext, before: readonly RegistrySummary[]) {
  t.mock.timers.enable({ apis: ['setTimeout'] })
  const world = { now: [] as RegistrySummary[], answers: 0, mirrored: ['a.test', 'b.test'] }
  const control = {} as RegistryControl
  const handOver = new HandOver({
    from: { known: before, service: { answerBy: () => world.answers++ } as never },
    control,
    catalog: { summaries: () => world.now },
    mirrors: () => ({ names: world.mirrored, wildcard: false }),
  })
  handOver.start()
  t.after(() => handOver.stop())
  return { handOver, world }
}

test('a new part answers once it knows as much as the former one', (t) => {
  const { handOver, world } = play(t, [summary('a.test', 3, 100)])
  handOver.look()
  world.now = [summary('a.test', 3, 99)]
  handOver.look()
  world.now = [summary('a.test', 2, 100)]
  handOver.look()
  assert.equal(world.answers, 0)
  world.now = [summary('a.test', 3, 100)]
  handOver.look()
  handOver.look()
  assert.equal(world.answers, 1)
})

test('a registry that is no longer mirrored is not waited for', (t) => {
  const { handOver, world } = play(t, [summary('a.test', 3, 100)])
  world.mirrored = ['b.test']
  handOver.look()
  assert.equal(world.answers, 1)
})

test('after ten seconds it answers with what it knows', (t) => {
  const { world } = play(t, [summary('a.test', 3, 100)])
  t.mock.timers.tick(9_999)
  assert.equal(world.answers, 0)
  t.mock.timers.tick(1)
  assert.equal(world.answers, 1)
})

test('a part that ends before it has answered hands on what the answering one knew', (t) => {
  const { handOver, world } = play(t, [summary('a.test', 3, 100), summary('b.test', 1, 5)])
  world.now = [summary('a.test', 1, 120), summary('c.test', 1, 1)]
  const known = handOver.known().map(({ registry, origins, digests }) => [registry, origins, digests])
  assert.deepEqual(known, [
    ['a.test', 3, 120],
    ['c.test', 1, 1],
    ['b.test', 1, 5],
  ])
})

test('a part that answers hands on what it knows itself', (t) => {
  const { handOver, world } = play(t, [summary('a.test', 3, 100)])
  t.mock.timers.tick(10_000)
  world.now = [summary('a.test', 1, 7)]
  assert.deepEqual(handOver.known(), world.now)
})
