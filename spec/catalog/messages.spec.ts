import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { deflateRawSync } from 'node:zlib'
import fc from 'fast-check'
import { publicKeyObject, verifyCheckpoint } from '../../lib/catalog/checkpoint.ts'
import { comparisonFrames, hashOrigins } from '../../lib/catalog/comparison.ts'
import {
  changeSizeBytes,
  decodeDelta,
  deltaContentBytes,
  encodeDelta,
  maxDeltaSizeBytes,
} from '../../lib/catalog/delta.ts'
import { HeldDeltas } from '../../lib/catalog/held-deltas.ts'
import { PendingChanges } from '../../lib/catalog/pending-changes.ts'
import { readInventories } from '../../lib/catalog/read-inventories.ts'
import { createReplicaState, type ReplicaState } from '../../lib/catalog/replica-state.ts'
import { decodeAnswer, encodeAnswer } from '../../lib/catalog/sync-answer.ts'
import { decodeRequest, encodeRequest } from '../../lib/catalog/sync-request.ts'
import { StarlingError } from '../../lib/core/errors.ts'
import { FieldWriter } from '../../lib/core/wire.ts'
import { digestOf, makeIdentity, registry, TestOrigin, tagPair } from './support.ts'

function sample(): { origin: TestOrigin; bytes: Uint8Array } {
  const origin = new TestOrigin()
  origin.step({ add: [digestOf('old')], tag: [tagPair('app', 'old', digestOf('old'))] })
  const delta = origin.step({
    add: [digestOf('a'), digestOf('b')],
    remove: [digestOf('old')],
    tag: [tagPair('library/alpine', '3.20', digestOf('a'))],
    untag: [tagPair('app', 'old', digestOf('old'))],
  })
  return { origin, bytes: encodeDelta(delta) }
}

/** A decoder may refuse bytes, but only with the one error that its callers expect. */
function decodesOrRefuses(decode: () => unknown): void {
  try {
    decode()
  } catch (error) {
    assert.ok(error instanceof StarlingError && error.code === 'WIRE_MALFORMED', String(error))
  }
}

describe('a delta on the wire', () => {
  it('comes back as it was, and its signature holds', () => {
    const { origin, bytes } = sample()
    const delta = decodeDelta(bytes)
    assert.ok(typeof delta === 'object')
    assert.equal(delta.registry, registry)
    assert.deepEqual(new Uint8Array(delta.origin), origin.identity.publicKey)
    assert.deepEqual(delta.change?.addTags, [tagPair('library/alpine', '3.20', digestOf('a'))])
    assert.equal(delta.change?.addDigests.length, 64)
    assert.equal(delta.change?.removeTags.length, 32)
    const key = publicKeyObject(delta.origin)
    assert.ok(verifyCheckpoint(registry, delta.checkpoint, key))
    assert.ok(!verifyCheckpoint('other.example', delta.checkpoint, key), 'it is bound to its registry')
    for (const changed of [{ epoch: 2 }, { sequence: 9 }, { count: 1 }, { setHash: new Uint8Array(32) }]) {
      assert.ok(!verifyCheckpoint(registry, { ...delta.checkpoint, ...changed }, key))
    }
  })

  it('a bare checkpoint has no change', () => {
    const { origin } = sample()
    const delta = decodeDelta(encodeDelta(origin.bare()))
    assert.ok(typeof delta === 'object' && delta.change === undefined)
  })

  it('fields that are not known are passed over; other versions and kinds are reserved', () => {
    const { bytes } = sample()
    const extra = new FieldWriter().string(90, 'later').uint(91, 5).finish()
    assert.ok(typeof decodeDelta(Buffer.concat([bytes, extra])) === 'object')
    assert.equal(decodeDelta(new FieldWriter().uint(1, 9).finishVersioned()), 'reserved')
    assert.equal(decodeDelta(Uint8Array.of(7, 1, 2, 3)), 'reserved')
    assert.equal(decodeDelta(new FieldWriter().uint(1, 1).finishVersioned()), 'malformed')
  })

  it('that is truncated or random never decodes to something else than a delta or a refusal', () => {
    const { bytes } = sample()
    for (let length = 0; length < bytes.length; length += 1) {
      decodesOrRefuses(() => decodeDelta(bytes.subarray(0, length)))
    }
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), fc.nat(), (noise, at) => {
        decodesOrRefuses(() => decodeDelta(Buffer.concat([Uint8Array.of(1), noise])))
        const flipped = Uint8Array.from(bytes)
        flipped.set(noise.subarray(0, 8), at % (bytes.length - 8))
        decodesOrRefuses(() => decodeDelta(flipped))
      }),
      { numRuns: 500 },
    )
  })

  it('that takes as much as fits stays below the bound', () => {
    const pending = new PendingChanges()
    pending.add({
      addedDigests: Array.from({ length: 1500 }, (_, index) => digestOf(index)),
      removedDigests: [],
      addedTags: Array.from({ length: 2000 }, (_, index) =>
        tagPair('a'.repeat(200), `t${index}`, digestOf(index)),
      ),
      removedTags: [],
    })
    const origin = new TestOrigin()
    let messages = 0
    while (pending.size > 0) {
      const change = pending.take({ maxBytes: deltaContentBytes, maxElements: 1e6, room: 1e6 })
      const delta = { ...origin.step({}), change }
      assert.ok(changeSizeBytes(change) > 0)
      assert.ok(encodeDelta(delta).length <= maxDeltaSizeBytes)
      messages += 1
    }
    assert.ok(messages > 5)
  })
})

describe('changes that wait to be announced', () => {
  it('cancel out where something comes and goes', () => {
    const pending = new PendingChanges()
    const none = { addedDigests: [], removedDigests: [], addedTags: [], removedTags: [] }
    const pair = tagPair('app', '1', digestOf('a'))
    pending.add({ ...none, addedDigests: [digestOf('a')], addedTags: [pair] })
    pending.add({ ...none, removedDigests: [digestOf('a')], removedTags: [pair] })
    assert.equal(pending.size, 0)
  })

  it('are left where there is no room for more, while removals pass', () => {
    const pending = new PendingChanges()
    pending.add({
      addedDigests: [digestOf('a'), digestOf('b')],
      removedDigests: [digestOf('c')],
      addedTags: [],
      removedTags: [],
    })
    const change = pending.take({ maxBytes: 1e6, maxElements: 10, room: 1 })
    assert.equal(change.addDigests.length, 32)
    assert.equal(change.removeDigests.length, 32)
    assert.equal(pending.size, 1)
  })
})

describe('deltas that came too early', () => {
  it('are given out in their order once the one before them is known, and are bounded', () => {
    const held = new HeldDeltas()
    const origin = new TestOrigin()
    const deltas = Array.from({ length: 60 }, (_, index) => origin.step({ add: [digestOf(index)] }))
    for (const delta of deltas.slice(1).reverse()) held.hold(origin.peerId, delta)
    assert.ok(held.size <= 32)
    assert.equal(held.take(origin.peerId, { epoch: 1, sequence: 1 })?.checkpoint.sequence, 2)
    assert.equal(held.take(origin.peerId, { epoch: 1, sequence: 2 })?.checkpoint.sequence, 3)
    assert.equal(held.take(origin.peerId, { epoch: 2, sequence: 1 }), undefined)
    assert.equal(held.size, 0, 'older ones are of no use any more')
  })
})

describe('requests and answers between neighbours', () => {
  const hashes = Uint8Array.from({ length: 512 }, (_, index) => index & 255)
  const requests = [
    { kind: 'compare', registry, origins: hashes, answering: true },
    {
      kind: 'fetch',
      registry,
      wants: [
        { shortId: '0011223344556677', epoch: 3, sequence: 4, buckets: hashes, proofOnly: false },
        { shortId: 'ffffffffffffffff', epoch: 0, sequence: 0, buckets: undefined, proofOnly: true },
      ],
    },
    { kind: 'registries', registries: ['docker.io', 'r.example:5000'] },
  ] as const
  const { origin } = sample()
  const answers = [
    {
      kind: 'comparison',
      mirrored: true,
      origins: [
        { shortId: '0011223344556677', epoch: 1, sequence: 2, setHashPrefix: hashes.slice(0, 8), count: 5 },
      ],
    },
    { kind: 'inventory', shortId: '0011223344556677', checkpoint: origin.checkpoint(), buckets: [0, 63] },
    { kind: 'elements', digests: hashes.slice(0, 64), tags: [tagPair('a', 'b', digestOf('c'))], last: true },
    { kind: 'registries', registries: ['docker.io'] },
  ] as const
  /** Bytes as lists of numbers, so that a buffer equals an array of the same bytes. */
  const plain = (value: unknown): unknown => {
    if (value instanceof Uint8Array || Array.isArray(value)) return Array.from(value, plain)
    if (typeof value !== 'object' || value === null) return value
    return Object.fromEntries(Object.entries(value).map(([name, part]) => [name, plain(part)]))
  }

  it('come back as they were', () => {
    for (const request of requests)
      assert.deepEqual(plain(decodeRequest(encodeRequest(request))), plain(request))
    for (const answer of answers) assert.deepEqual(plain(decodeAnswer(encodeAnswer(answer))), plain(answer))
  })

  it('of later kinds are nothing, and names that are no registries are passed over', () => {
    assert.equal(decodeRequest(new FieldWriter().uint(1, 77).finishVersioned()), undefined)
    assert.equal(decodeAnswer(new FieldWriter().uint(1, 77).finishVersioned()), undefined)
    const request = { kind: 'registries', registries: ['../../etc', 'ok.example', 'a b', ''] } as const
    assert.deepEqual(decodeRequest(encodeRequest(request)), {
      kind: 'registries',
      registries: ['ok.example'],
    })
  })

  it('that are truncated or random are refused with one error', () => {
    const all = [...requests.map(encodeRequest), ...answers.map(encodeAnswer)]
    for (const bytes of all) {
      for (let length = 0; length < bytes.length; length += 1) {
        decodesOrRefuses(() => decodeRequest(bytes.subarray(0, length)))
        decodesOrRefuses(() => decodeAnswer(bytes.subarray(0, length)))
        decodesOrRefuses(() => readInventories([bytes.subarray(0, length)]))
      }
    }
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 200 }),
        fc.constantFrom(...all),
        fc.nat(),
        (noise, bytes, at) => {
          const flipped = Uint8Array.from(bytes)
          flipped.set(noise.subarray(0, Math.min(4, bytes.length)), at % Math.max(1, bytes.length - 4))
          for (const input of [Buffer.concat([Uint8Array.of(1), noise]), flipped]) {
            decodesOrRefuses(() => decodeRequest(input))
            decodesOrRefuses(() => decodeAnswer(input))
            decodesOrRefuses(() => readInventories([input, input]))
          }
        },
      ),
      { numRuns: 500 },
    )
  })

  it('an inventory whose last part is missing is left out', () => {
    const [, head, elements] = answers
    assert.equal(readInventories([encodeAnswer(head), encodeAnswer(elements)]).length, 1)
    assert.equal(readInventories([encodeAnswer(head), encodeAnswer({ ...elements, last: false })]).length, 0)
    assert.equal(readInventories([encodeAnswer(elements)]).length, 0)
  })
})

describe('a comparison', () => {
  function withOrigins(count: number, sequence = 1): ReplicaState {
    const state = createReplicaState(registry, makeIdentity('same self').peerId, 1)
    for (let index = 0; index < count; index += 1) {
      const entry = state.origins.add(makeIdentity(`origin ${index}`).peerId)!
      entry.checkpoint = {
        epoch: 1,
        sequence: index === 0 ? sequence : 1,
        setHash: new Uint8Array(32).fill(index),
        count: 1,
        signature: new Uint8Array(64),
      }
    }
    return state
  }

  it('of two nodes that agree takes about a kibibyte, whatever the number of origins', () => {
    for (const count of [3, 10_000]) {
      const state = withOrigins(count)
      const request = encodeRequest({
        kind: 'compare',
        registry,
        origins: hashOrigins(state),
        answering: false,
      })
      const frames = [...comparisonFrames(withOrigins(count), hashOrigins(state))]
      const bytes = request.length + frames.reduce((total, frame) => total + frame.length, 0)
      assert.ok(bytes <= 1024, `${bytes} bytes for ${count} origins`)
    }
  })

  it('opens only the bucket that differs', () => {
    const frames = [...comparisonFrames(withOrigins(2000, 2), hashOrigins(withOrigins(2000)))]
    const origins = frames.flatMap((frame) => {
      const answer = decodeAnswer(frame)
      return answer?.kind === 'comparison' ? answer.origins : []
    })
    assert.ok(origins.length > 0 && origins.length < 80, `${origins.length} origins told`)
    assert.ok(origins.some((summary) => summary.sequence === 2))
  })

  it('with a node that knows nothing comes in frames within the bound', () => {
    const frames = [...comparisonFrames(withOrigins(3000), hashOrigins(withOrigins(0)))]
    assert.ok(frames.length > 1)
    for (const frame of frames) assert.ok(frame.length <= 65_536)
  })
})

describe('the tags of an inventory', () => {
  const none = new Uint8Array(0)
  const tags = Array.from({ length: 300 }, (_, index) =>
    tagPair(`team/services/app-${index % 7}`, `v1.${index}`, digestOf('same')),
  )

  it('travel deflated, and come back as they were', () => {
    const frame = encodeAnswer({ kind: 'elements', digests: none, tags, last: true })
    assert.ok(frame.length < 10_000, `${frame.length} bytes for 300 pairs`)
    assert.deepEqual(decodeAnswer(frame), { kind: 'elements', digests: none, tags, last: true })
  })

  it('are refused where they would inflate beyond their bound, or are no deflated bytes', () => {
    const elements = (deflated: Uint8Array) =>
      new FieldWriter().uint(1, 3).bytes(11, deflated).finishVersioned()
    for (const bytes of [deflateRawSync(new Uint8Array(2 ** 20)), Uint8Array.of(7, 7, 7)]) {
      assert.throws(() => decodeAnswer(elements(bytes)), { code: 'WIRE_MALFORMED' })
    }
  })
})
