import assert from 'node:assert/strict'
import { test } from 'node:test'
import { NeighbourKeeper } from '../../lib/app/membership/connections.ts'
import type { PeerConnector } from '../../lib/core/cluster.ts'
import type { Member } from '../../lib/core/peer.ts'
import type { PeerId } from '../../lib/core/peer-id.ts'
import { Recorder } from '../network/test-host.ts'
import { seededRng } from '../sim/random.ts'
import { makeSigned } from './fixtures.ts'

/** Twenty live members, and dials that a spec ends. */
function play() {
  const world = { nowMs: 0, dials: [] as { succeed: () => void; fail: () => void }[] }
  const open: { peerId: PeerId; direction: 'outbound'; remote: undefined; openedMs: number }[] = []
  const connector = {
    connections: () => open,
    connectPeer: (peerId: PeerId) => {
      const { promise, resolve, reject } = Promise.withResolvers<void>()
      const succeed = () => {
        open.push({ peerId, direction: 'outbound', remote: undefined, openedMs: world.nowMs })
        resolve()
      }
      world.dials.push({ succeed, fail: () => reject(new Error('not done in time')) })
      return promise
    },
  } as unknown as PeerConnector
  const live = Array.from({ length: 20 }, () => ({ record: makeSigned().record }) as Member)
  const keeper = new NeighbourKeeper({
    connector,
    clock: { monotonicMs: () => world.nowMs, wallMs: () => 0 },
    rng: seededRng(1),
    logger: new Recorder(),
    registriesOf: () => [],
  })
  const round = async (afterMs: number) => {
    world.nowMs += afterMs
    await new Promise(setImmediate)
    keeper.keep(live, [])
  }
  return { world, round }
}

test('two neighbours are dialled at once, and more when those are there', async () => {
  const { world, round } = play()
  await round(0)
  await round(1_000)
  assert.equal(world.dials.length, 2)
  for (const { succeed } of world.dials) succeed()
  await round(1_000)
  assert.equal(world.dials.length, 4)
})

test('dials that time out make the next ones rarer and alone, until one succeeds', async () => {
  const { world, round } = play()
  await round(0)
  world.nowMs += 5_000
  for (const { fail } of world.dials) fail()
  await round(100)
  assert.equal(world.dials.length, 2, 'not at once')
  await round(3_000)
  assert.equal(world.dials.length, 3, 'alone')
  world.nowMs += 5_000
  world.dials[2]!.fail()
  await round(1_500)
  assert.equal(world.dials.length, 3, 'later than the last time')
  await round(7_000)
  assert.equal(world.dials.length, 4)
  world.dials[3]!.succeed()
  await round(1_000)
  assert.equal(world.dials.length, 6)
})

test('who refuses at once holds up nobody else', async () => {
  const { world, round } = play()
  await round(0)
  for (const { fail } of world.dials) fail()
  await round(1_000)
  assert.equal(world.dials.length, 4)
})
