import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SimKernel } from './kernel.ts'

const text = (bytes: Uint8Array) => Buffer.from(bytes).toString()

function twoNodes(kernel: SimKernel): string[] {
  const heard: string[] = []
  for (const node of ['a', 'b']) {
    kernel.boot(node, (from, bytes) =>
      heard.push(`${kernel.nowMs().toFixed(3)} ${from}→${node} ${text(bytes)}`),
    )
  }
  return heard
}

test('equal seeds give equal runs, and other seeds others', () => {
  const run = (seed: number) => {
    const kernel = new SimKernel(seed, { lossRate: 0.3, duplicateRate: 0.3, minDelayMs: 1, maxDelayMs: 50 })
    const heard = twoNodes(kernel)
    for (let index = 0; index < 50; index++)
      kernel.schedule(index, () => kernel.send('a', 'b', Buffer.from(`${index}`)))
    kernel.run(1000)
    return heard
  }
  assert.deepEqual(run(7), run(7))
  assert.notDeepEqual(run(7), run(8))
})

test('a one-way cut stops one direction, and a connect in both', () => {
  const kernel = new SimKernel(1)
  const heard = twoNodes(kernel)
  kernel.cut('a', 'b')
  kernel.send('a', 'b', Buffer.from('lost'))
  kernel.send('b', 'a', Buffer.from('kept'))
  kernel.run(10)
  assert.equal(heard.length, 1)
  assert.match(heard[0] ?? '', /b→a kept/)
  assert.equal(kernel.connect('b', 'a'), 'silent')
})

test('timers and datagrams of a paused node wait, those of a killed one are gone', () => {
  const kernel = new SimKernel(1)
  const heard = twoNodes(kernel)
  let fired = 0
  kernel.scheduleFor('b', 5, () => fired++)
  kernel.halt('b', 'paused')
  kernel.send('a', 'b', Buffer.from('later'))
  kernel.run(100)
  assert.deepEqual([heard.length, fired, kernel.connect('a', 'b')], [0, 0, 'accepted'])
  kernel.resume('b')
  kernel.run(101)
  assert.deepEqual([heard.length, fired], [1, 1])
  kernel.scheduleFor('b', 5, () => fired++)
  kernel.halt('b', 'killed')
  assert.equal(kernel.connect('a', 'b'), 'refused')
  kernel.boot('b', () => undefined)
  kernel.run(200)
  assert.equal(fired, 1)
})

test('a clock jump moves one node alone', () => {
  const kernel = new SimKernel(1)
  twoNodes(kernel)
  const before = kernel.clockOf('a').monotonicMs()
  kernel.jumpClock('b', { monotonicMs: 3_600_000, wallMs: 3_600_000 })
  assert.equal(kernel.clockOf('a').monotonicMs(), before)
  assert.equal(kernel.clockOf('b').wallMs() - kernel.clockOf('a').wallMs(), 3_600_000)
})

test('a slow uplink and a busy core delay what a node sends and handles, and both are counted', () => {
  const network = { lossRate: 0, duplicateRate: 0, minDelayMs: 1, maxDelayMs: 1 }
  const kernel = new SimKernel(1, { ...network, bytesPerMs: 1, cpu: { sendMs: 2, receiveMs: 3 } })
  const heard = twoNodes(kernel)
  for (const word of ['ten bytes!', 'ten more!!']) kernel.send('a', 'b', Buffer.from(word))
  kernel.run(1000)
  // Sealed after 2 and 4 ms, sent until 12 and 22, one on the way.
  assert.deepEqual(heard, ['13.000 a→b ten bytes!', '23.000 a→b ten more!!'])
  assert.deepEqual(kernel.spentBy('a'), { datagrams: 2, bytes: 20, cpuMs: 4 })
  assert.equal(kernel.spentBy('b').cpuMs, 6)
  kernel.occupy('b', 300)
  let firedMs = 0
  kernel.scheduleFor('b', 10, () => {
    firedMs = kernel.nowMs()
  })
  kernel.run(2000)
  assert.equal(firedMs, 1300)
})

test('a busy core keeps the order of what waits for it, and loses the datagrams that its socket has no room for', () => {
  const network = { lossRate: 0, duplicateRate: 0, minDelayMs: 1, maxDelayMs: 1 }
  const kernel = new SimKernel(1, { ...network, cpu: { sendMs: 0, receiveMs: 1 } })
  const heard = twoNodes(kernel)
  kernel.occupy('b', 100)
  for (let index = 0; index < 300; index++) kernel.send('a', 'b', Buffer.from(`${index}`))
  let firedMs = 0
  kernel.scheduleFor('b', 50, () => {
    firedMs = kernel.nowMs()
  })
  kernel.run(1000)
  assert.deepEqual(
    heard.map((line) => line.split(' ')[2]),
    Array.from({ length: 256 }, (_, index) => `${index}`),
  )
  assert.deepEqual([heard[0], heard[255]?.split(' ')[0], firedMs], ['100.000 a→b 0', '355.000', 356])
  assert.equal(kernel.spentBy('b').cpuMs, 256)
})

test('datagrams overtake each other where delays have a tail', () => {
  const kernel = new SimKernel(1, {
    lossRate: 0,
    duplicateRate: 0,
    minDelayMs: 1,
    maxDelayMs: 1,
    tailMs: 20,
  })
  const heard = twoNodes(kernel)
  for (let index = 0; index < 100; index++)
    kernel.schedule(index, () => kernel.send('a', 'b', Buffer.from(`${index}`)))
  kernel.run(10_000)
  const order = heard.map((line) => Number(line.split(' ')[2]))
  assert.equal(order.length, 100)
  assert.notDeepEqual(
    order,
    order.toSorted((a, b) => a - b),
  )
})
