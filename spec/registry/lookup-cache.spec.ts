import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Candidate, LookupAnswer, LookupQuery, RegistryControl } from '../../lib/core/lookup.ts'
import { withLookupCache } from '../../lib/registry/lookup-cache.ts'
import { digestOf, registry, repository } from './harness.ts'

const digest = digestOf(Buffer.from('layer'))
const query: LookupQuery = {
  registry,
  target: { kind: 'digest', repository, digest },
  fromPeer: false,
}
const peer = {} as Candidate

function scripted(answer: () => LookupAnswer | Promise<LookupAnswer>) {
  let asked = 0
  let nowMs = 1000
  const control: RegistryControl = {
    lookup: async () => {
      asked++
      return answer()
    },
    list: async () => ({ found: false, registry, miss: 'no-registry', detail: '' }),
    transferred: () => {},
    requested: () => {},
    missing: () => {},
  }
  const cached = withLookupCache(control, () => nowMs)
  return { cached, asked: () => asked, pass: (ms: number) => (nowMs += ms) }
}

function found(candidates: readonly Candidate[], local = true): LookupAnswer {
  return { found: true, registry, digest, local, candidates, holders: candidates.length }
}

test('an answer is kept for a second, and dropped when something changed or is missing', async () => {
  const { cached, asked, pass } = scripted(() => found([peer]))
  await cached.lookup(query)
  await cached.lookup(query)
  assert.equal(asked(), 1)
  pass(1100)
  await cached.lookup(query)
  assert.equal(asked(), 2)
  cached.forgetLookups()
  await cached.lookup(query)
  assert.equal(asked(), 3)
  cached.missing(digest)
  await cached.lookup(query)
  assert.equal(asked(), 4)
})

test('a fresh answer is asked for, and a peer is not answered as a client is', async () => {
  const { cached, asked } = scripted(() => found([]))
  await cached.lookup(query)
  await cached.lookup({ ...query, fresh: true })
  await cached.lookup({ ...query, fromPeer: true })
  assert.equal(asked(), 3)
})

test('neither misses nor a choice between holders are kept', async () => {
  const miss = scripted(() => ({ found: false, registry, miss: 'no-holder', detail: '' }))
  const choice = scripted(() => found([peer, peer], false))
  for (const { cached, asked } of [miss, choice]) {
    await cached.lookup(query)
    await cached.lookup(query)
    assert.equal(asked(), 2)
  }
})

test('what is on this node is kept, however many others have it', async () => {
  const { cached, asked } = scripted(() => found([peer, peer]))
  await cached.lookup(query)
  await cached.lookup(query)
  assert.equal(asked(), 1)
})

test('an answer from before a change that comes after it is not kept', async () => {
  const { promise, resolve } = Promise.withResolvers<LookupAnswer>()
  const { cached, asked } = scripted(() => promise)
  const first = cached.lookup(query)
  cached.forgetLookups()
  resolve(found([]))
  await first
  await cached.lookup(query)
  assert.equal(asked(), 2)
})
