import assert from 'node:assert/strict'
import { test } from 'node:test'
import { multiaddrConnectionPair } from '@libp2p/utils'
import { connectionProtector } from '../../lib/network/connection-protector.ts'
import { Refusals } from '../../lib/network/refusals.ts'
import { makeTestCredentials } from '../support/test-trust.ts'
import { constantCredentials, Recorder, systemClock } from './test-host.ts'

test('a connection that has passed the first gate keeps its stream when libp2p asks for it again', async () => {
  const recorder = new Recorder()
  const protector = connectionProtector({
    credentials: constantCredentials(await makeTestCredentials('node')),
    refusals: new Refusals({ logger: recorder, metrics: recorder, clock: systemClock }),
  })
  const [outbound, inbound] = multiaddrConnectionPair()
  const [dialer, listener] = await Promise.all([protector().protect(outbound), protector().protect(inbound)])
  assert.notEqual(listener, inbound)
  assert.equal(await protector().protect(inbound), listener)
  assert.equal(await protector().protect(outbound), dialer)
  const received = new Promise<string>((resolve) => {
    listener.addEventListener('message', ({ data }) => resolve(Buffer.from(data.subarray()).toString()))
  })
  dialer.send(Buffer.from('hello'))
  assert.equal(await received, 'hello')
  assert.equal(recorder.counted('starling_p2p_refused_total'), 0)
  dialer.abort(new Error('over'))
  listener.abort(new Error('over'))
})
