import assert from 'node:assert/strict'
import { test } from 'node:test'
import { HeardTimes } from '../../../lib/app/registry/heard-times.ts'
import type { DatagramTransport } from '../../../lib/core/messaging.ts'
import type { PeerId } from '../../../lib/core/peer-id.ts'

const one = 'one' as PeerId

test('a peer is heard by its datagrams, which go on to whoever listens', () => {
  let nowMs = 1000
  const heard = new HeardTimes({ monotonicMs: () => nowMs, wallMs: () => 0 })
  let deliver: Parameters<DatagramTransport['onDatagram']>[0] = () => assert.fail('nobody listens')
  const bodies: Uint8Array[] = []
  const datagrams = heard.listenTo({
    send: () => {},
    available: () => true,
    onDatagram: (listener) => {
      deliver = listener
    },
  })
  datagrams.onDatagram((_, body) => bodies.push(body))
  assert.equal(heard.agoMs(one), undefined)
  deliver(one, Uint8Array.of(1), { host: '192.0.2.1', port: 5001 })
  nowMs += 250
  assert.equal(heard.agoMs(one), 250)
  assert.deepEqual(bodies, [Uint8Array.of(1)])
})

test('who was not heard of longest is forgotten first, so that memory is bounded', () => {
  const heard = new HeardTimes({ monotonicMs: () => 0, wallMs: () => 0 })
  heard.heard(one)
  for (let index = 0; index < 16_384; index++) heard.heard(`peer ${index}` as PeerId)
  assert.equal(heard.agoMs(one), undefined)
  assert.equal(heard.agoMs('peer 0' as PeerId), 0)
})
