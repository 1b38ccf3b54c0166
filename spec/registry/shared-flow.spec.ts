import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createFlowMemory, SharedFlow } from '../../lib/registry/shared-flow.ts'
import { FlowLimit } from '../../lib/selection/flow-limit.ts'

const limits = {
  bytesPerSecond: 2 ** 20,
  bytesPerSecondPerPeer: Number.POSITIVE_INFINITY,
  atOnce: 3,
  atOncePerPeer: 2,
}

test('threads share the bounds of their node: requests at once and bytes a second', () => {
  const memory = createFlowMemory(2)
  const [one, two] = [0, 1].map((thread) => new FlowLimit(limits, new SharedFlow(memory, thread)))
  assert.ok(one !== undefined && two !== undefined)
  const back = one.take('a')
  assert.ok(back !== undefined && two.take('a') !== undefined)
  assert.equal(one.take('a'), undefined, 'two for a peer, one from each thread')
  assert.ok(two.take('b') !== undefined)
  assert.equal(one.take('c'), undefined, 'three in all')
  back.free()
  assert.ok(one.take('c') !== undefined)
  assert.equal(one.delayMs('a', 2 ** 20, 1_000_000), 0)
  assert.equal(two.delayMs('b', 1, 1_000_000), 900)
})

test('what a thread that crashed had taken is free again when its successor begins', () => {
  const memory = createFlowMemory(2)
  const kept = new FlowLimit(limits, new SharedFlow(memory, 0))
  const crashed = new FlowLimit(limits, new SharedFlow(memory, 1))
  assert.ok(kept.take('a') !== undefined)
  assert.ok(crashed.take('a') !== undefined && crashed.take('b') !== undefined)
  assert.equal(kept.take('c'), undefined)
  const next = new FlowLimit(limits, new SharedFlow(memory, 1))
  assert.ok(next.take('a') !== undefined)
  assert.equal(next.take('a'), undefined, 'that of the other thread still counts')
})
