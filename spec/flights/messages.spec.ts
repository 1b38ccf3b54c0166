import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { maxDatagramBodySizeBytes } from '../../lib/core/messaging.ts'
import {
  decodeFlightMessage,
  encodeFlightMessage,
  type FlightMessage,
  flightsVersion,
  maxNamedPeers,
} from '../../lib/flights/messages.ts'
import { claim, digestOf, peer } from './support.ts'

const count = fc.nat(2 ** 40)
const someone = fc.nat(40).map(peer)
const nobody = fc.option(someone, { nil: undefined })
const named = fc.array(someone, { maxLength: maxNamedPeers })
const blob = {
  registry: fc.stringMatching(/^[a-z]{1,250}$/),
  digest: fc.string().map(digestOf),
}
const progress = {
  state: fc.constantFrom('absent', 'open', 'done', 'gone', 'wrong', 'stuck'),
  offset: count,
  sizeBytes: fc.option(count, { nil: undefined }),
} as const
const messages: fc.Arbitrary<FlightMessage> = fc.oneof(
  fc.record({
    type: fc.constant('claim' as const),
    id: fc.nat(),
    slots: fc.nat(9),
    lost: named,
    holders: named,
    ...blob,
    offset: progress.offset,
    sizeBytes: progress.sizeBytes,
  }),
  fc.record({
    type: fc.constant('verdict' as const),
    id: fc.nat(),
    verdict: fc.constantFrom('lead' as const, 'none' as const),
    parent: nobody,
    intervalMs: fc.nat(),
  }),
  fc.record({
    type: fc.constant('progress' as const),
    role: fc.constantFrom('lead' as const, 'follow' as const),
    parent: nobody,
    slots: fc.nat(9),
    ...blob,
    ...progress,
  }),
  fc.record({ type: fc.constant('ask' as const), ...blob }),
  fc.record({ type: fc.constant('word' as const), quietMs: fc.nat(), ...blob, ...progress }),
)

test('every message fits a datagram and comes back as it was', () => {
  fc.assert(
    fc.property(messages, (message) => {
      const body = encodeFlightMessage(message)
      assert.ok(body.length <= maxDatagramBodySizeBytes)
      assert.deepEqual({ ...decodeFlightMessage(body) }, { ...message })
    }),
  )
})

test('whatever comes in decodes, is passed over, or fails with the code of malformed bytes', () => {
  fc.assert(
    fc.property(messages, fc.nat(400), fc.nat(255), (message, at, value) => {
      const body = encodeFlightMessage(message)
      body[at % body.length] = value
      for (const bytes of [body, body.subarray(0, at % body.length)]) {
        try {
          decodeFlightMessage(bytes)
        } catch (error) {
          assert.match(String((error as { code?: unknown }).code), /^(?:WIRE_MALFORMED|DIGEST_INVALID)$/)
        }
      }
    }),
  )
})

test('types and states of later versions are passed over', () => {
  const body = encodeFlightMessage(claim())
  assert.equal(body[0], flightsVersion)
  assert.equal(body[1], 1 << 3)
  body[2] = 99
  assert.equal(decodeFlightMessage(body), undefined)
})
