import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Bench, makeSigned } from './fixtures.ts'

test('a node that was revoked counts as gone at once, and nothing that is said of it is heard', () => {
  const bench = new Bench(3)
  const [revoked, other] = bench.members
  const { peerId } = revoked!.record
  const told = bench
    .step({ type: 'expel', peerId })
    .flatMap((effect) => (effect.type === 'changed' ? [[effect.peerId, effect.to, effect.reason]] : []))
  assert.deepEqual(told, [[peerId, 'left', 'it was revoked']])
  for (const incarnation of [2, 9]) bench.hear(bench.claim(revoked!, 'alive', incarnation))
  bench.step({ type: 'record', signed: revoked! })
  assert.equal(bench.machine.get(peerId)?.state, 'left')
  assert.equal(bench.machine.get(other!.record.peerId)?.state, 'alive')
  assert.ok(bench.effects.some((effect) => effect.type === 'observed' && effect.what === 'expelled'))
  const stranger = makeSigned()
  bench.step({ type: 'expel', peerId: stranger.record.peerId })
  bench.admit(stranger)
  assert.equal(bench.machine.get(stranger.record.peerId), undefined)
})
