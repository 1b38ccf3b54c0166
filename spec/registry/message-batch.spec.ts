import assert from 'node:assert/strict'
import { test } from 'node:test'
import { MessageBatch } from '../../lib/registry/message-batch.ts'
import { eventually } from '../support/eventually.ts'

test('what is told alone leaves at once; a burst leaves in few messages, in order and without a further push', async () => {
  const sent: (readonly number[])[] = []
  const batch = new MessageBatch<number>((items) => sent.push(items))
  batch.push(0)
  assert.deepEqual(sent, [[0]])
  const numbers = Array.from({ length: 1000 }, (_, index) => index)
  for (const number of numbers.slice(1)) batch.push(number)
  await eventually(() => sent.flat().length === numbers.length)
  assert.deepEqual(sent.flat(), numbers)
  assert.ok(sent.length < numbers.length / 2, `${sent.length} messages`)
})

test('what waits leaves when it is asked for, once', () => {
  const sent: (readonly number[])[] = []
  const batch = new MessageBatch<number>((items) => sent.push(items))
  for (const number of [1, 2, 3]) batch.push(number)
  batch.flush()
  batch.flush()
  assert.deepEqual(sent.flat(), [1, 2, 3])
})
