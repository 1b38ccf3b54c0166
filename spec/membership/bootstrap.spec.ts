import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { Bootstrap, type BootstrapParts } from '../../lib/app/membership/bootstrap.ts'
import { formatEndpoint } from '../../lib/core/peer.ts'
import type { PeerId } from '../../lib/core/peer-id.ts'
import type { Logger } from '../../lib/core/ports.ts'
import { makeIdentity } from './fixtures.ts'

const here = { host: '10.0.0.1', port: 5001 }
const there = { host: '10.0.0.2', port: 5001 }
const silent: Logger = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
  child: () => silent,
}

/** A bootstrap whose world a spec plays: who lives, and who answers. */
function play(t: TestContext) {
  t.mock.timers.enable({ apis: ['setTimeout'] })
  const other: PeerId = makeIdentity().peerId
  const world = {
    asked: [] as string[],
    answers: true,
    silent: false,
    company: false,
    covered: new Set<string>(),
  }
  const connector = {
    connect: (endpoint: typeof here) => {
      world.asked.push(formatEndpoint(endpoint))
      if (world.silent) return new Promise(() => undefined)
      return world.answers ? Promise.resolve(other) : Promise.reject(new Error('nobody is there'))
    },
  } as unknown as BootstrapParts['connector']
  const bootstrap = new Bootstrap({
    bootstrap: () => Promise.resolve([here, there]),
    connector,
    rng: { next: () => 0.5 },
    logger: silent,
    self: makeIdentity().peerId,
    covered: () => world.covered,
    remembered: () => [],
    hasCompany: () => world.company,
    exchange: () => Promise.resolve(true),
  })
  t.after(() => bootstrap.stop())
  const settle = async () => {
    for (let turn = 0; turn < 20; turn++) await Promise.resolve()
  }
  const pass = async (durationMs: number) => {
    t.mock.timers.tick(durationMs)
    await settle()
  }
  return { bootstrap, world, settle, pass }
}

test('a cluster that has lost the other half asks the bootstrap addresses without a live member again each minute', async (t) => {
  const { bootstrap, world, settle, pass } = play(t)
  bootstrap.start()
  await settle()
  assert.deepEqual(world.asked, ['10.0.0.1:5001'])
  await pass(1_000)
  assert.deepEqual(world.asked, ['10.0.0.1:5001', '10.0.0.2:5001'])
  world.company = true
  world.covered = new Set(['10.0.0.1:5001', '10.0.0.2:5001'])
  world.asked.length = 0
  await pass(60_000)
  assert.deepEqual(world.asked, [], 'those that are known to live are left alone')
  world.covered = new Set(['10.0.0.1:5001'])
  world.answers = false
  for (let minute = 0; minute < 3; minute++) await pass(60_000)
  assert.deepEqual(world.asked, ['10.0.0.2:5001', '10.0.0.2:5001', '10.0.0.2:5001'])
})

test('an address that the first answer has made known as that of a live member is not asked', async (t) => {
  const { bootstrap, world, settle, pass } = play(t)
  bootstrap.start()
  await settle()
  world.covered = new Set(['10.0.0.1:5001', '10.0.0.2:5001'])
  await pass(1_000)
  await pass(1_000)
  assert.deepEqual(world.asked, ['10.0.0.1:5001'])
})

test('an address that is silent holds the next one up for a second, not for its whole time', async (t) => {
  const { bootstrap, world, settle, pass } = play(t)
  world.silent = true
  bootstrap.start()
  await settle()
  await pass(999)
  assert.deepEqual(world.asked, ['10.0.0.1:5001'])
  await pass(1)
  assert.deepEqual(world.asked, ['10.0.0.1:5001', '10.0.0.2:5001'])
})

test('who answered and was lost before it became a member is asked again soon', async (t) => {
  const { bootstrap, world, settle, pass } = play(t)
  bootstrap.start()
  await settle()
  await pass(1_000)
  assert.deepEqual(world.asked, ['10.0.0.1:5001', '10.0.0.2:5001'])
  await pass(500)
  await pass(1_000)
  assert.deepEqual(world.asked.slice(2), ['10.0.0.1:5001', '10.0.0.2:5001'])
})

test('who answered and became a member a moment later is not asked again soon', async (t) => {
  const { bootstrap, world, settle, pass } = play(t)
  bootstrap.start()
  await settle()
  await pass(1_000)
  world.company = true
  world.asked.length = 0
  await pass(500)
  await pass(30_000)
  assert.deepEqual(world.asked, [])
  await pass(30_000)
  await pass(1_000)
  assert.deepEqual(world.asked, ['10.0.0.1:5001', '10.0.0.2:5001'])
})

test('a node that finds nobody asks again soon, then less and less often', async (t) => {
  const { bootstrap, world, settle, pass } = play(t)
  world.answers = false
  bootstrap.start()
  await settle()
  const rounds = () => world.asked.length / 2
  assert.equal(rounds(), 1)
  await pass(500)
  assert.equal(rounds(), 2)
  await pass(500)
  assert.equal(rounds(), 2)
  await pass(500)
  assert.equal(rounds(), 3)
  for (let second = 0; second < 60; second++) await pass(1000)
  assert.ok(rounds() >= 8 && rounds() <= 14, `${rounds()} rounds in a minute`)
})
