import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { FlowLimit, LocalFlow } from '../../lib/selection/flow-limit.ts'
import { type FlowSlot, maxSlotWaitMs } from '../../lib/selection/flow-slot.ts'

function limitOf(atOnce: number, atOncePerPeer = atOnce): FlowLimit {
  const bytesPerSecond = Number.POSITIVE_INFINITY
  return new FlowLimit({ bytesPerSecond, bytesPerSecondPerPeer: bytesPerSecond, atOnce, atOncePerPeer })
}

function taken(limit: FlowLimit, peer: string): FlowSlot {
  const slot = limit.take(peer)
  assert.ok(slot !== undefined)
  return slot
}

test('who is parked leaves its room to others, and goes on at once where there is room', () => {
  const limit = limitOf(1)
  const slow = taken(limit, 'a')
  assert.equal(limit.take('b'), undefined)
  slow.park()
  const other = taken(limit, 'b')
  other.free()
  assert.equal(slow.resume(0), 'go')
  assert.equal(limit.take('b'), undefined, 'it has its room again')
})

test('who goes on waits for room, before those that have not begun, and goes on as soon as there is some', () => {
  const limit = limitOf(2)
  const slow = taken(limit, 'a')
  slow.park()
  const others = [taken(limit, 'b'), taken(limit, 'b')]
  assert.equal(slow.resume(1000), 'wait')
  assert.equal(slow.resume(1000 + maxSlotWaitMs - 1), 'wait')
  others[0]?.free()
  assert.equal(limit.take('c'), undefined, 'the room is for the one that waits')
  assert.equal(slow.resume(1000 + maxSlotWaitMs), 'go')
})

test('who finds no room for a bounded time has none, and leaves nothing counted', () => {
  const limit = limitOf(1)
  const slow = taken(limit, 'a')
  slow.park()
  const other = taken(limit, 'b')
  assert.equal(slow.resume(0), 'wait')
  assert.equal(slow.resume(maxSlotWaitMs), 'none')
  slow.free()
  other.free()
  taken(limit, 'c')
})

test('the bound of a peer holds for those that go on, too', () => {
  const limit = limitOf(10, 1)
  const slow = taken(limit, 'a')
  slow.park()
  const other = taken(limit, 'a')
  assert.equal(slow.resume(0), 'wait')
  taken(limit, 'b')
  other.free()
  assert.equal(slow.resume(1), 'go')
})

test('whatever is taken, parked, resumed and freed, no more than the bounds run, and in the end nothing is counted', () => {
  const acts = fc.array(
    fc.record({
      act: fc.constantFrom('take', 'park', 'resume', 'free'),
      which: fc.nat(20),
      afterMs: fc.nat(1000),
    }),
    { maxLength: 80 },
  )
  fc.assert(
    fc.property(acts, fc.integer({ min: 1, max: 4 }), fc.integer({ min: 1, max: 4 }), (list, all, each) => {
      const flow = new LocalFlow()
      const bytesPerSecond = Number.POSITIVE_INFINITY
      const bounds = {
        bytesPerSecond,
        bytesPerSecondPerPeer: bytesPerSecond,
        atOnce: all,
        atOncePerPeer: each,
      }
      const limit = new FlowLimit(bounds, flow)
      const slots: { peer: string; slot: FlowSlot; over: boolean }[] = []
      let nowMs = 0
      for (const { act, which, afterMs } of list) {
        nowMs += afterMs
        const peer = ['a', 'b', 'c'][which % 3] as string
        const one = slots[which % Math.max(1, slots.length)]
        if (act === 'take') {
          const slot = limit.take(peer)
          if (slot !== undefined) slots.push({ peer, slot, over: false })
        } else if (one === undefined) continue
        else if (act === 'park') one.slot.park()
        else if (act === 'resume') one.slot.resume(nowMs)
        else {
          one.slot.free()
          one.over = true
        }
        const running = slots.filter(({ slot, over }) => !over && !slot.parked)
        assert.ok(running.length <= all)
        for (const name of ['a', 'b', 'c']) {
          assert.ok(running.filter((slot) => slot.peer === name).length <= each)
        }
      }
      for (const { slot } of slots) slot.free()
      assert.deepEqual(flow.count('a', 0), { total: 0, ofPeer: 0 })
    }),
  )
})
