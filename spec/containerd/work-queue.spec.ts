import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { queueBounds, WorkQueue } from '../../lib/containerd/work-queue.ts'
import type { Digest } from '../../lib/core/digest.ts'

const digest = (index: number): Digest => `sha256:${index.toString(16).padStart(64, '0')}` as Digest

describe('WorkQueue', () => {
  it('holds each thing once, however often it is named', () => {
    const queue = new WorkQueue()
    for (let time = 0; time < 5; time += 1) {
      queue.markImage('k8s.io', 'a:1')
      queue.markImage('moby', 'a:1')
      queue.markDigest(digest(1))
    }
    assert.deepEqual(queue.take(), {
      type: 'images',
      images: [
        { namespace: 'k8s.io', name: 'a:1' },
        { namespace: 'moby', name: 'a:1' },
      ],
    })
    assert.deepEqual(queue.take(), { type: 'digests', digests: [{ digest: digest(1), attempt: 0 }] })
    assert.equal(queue.take(), undefined)
  })

  it('turns a flood into one listing', () => {
    const queue = new WorkQueue()
    for (let index = 0; index <= queueBounds.maxImages; index += 1) queue.markImage('k8s.io', `a:${index}`)
    for (let index = 0; index < 10_000; index += 1) queue.markDigest(digest(index))
    assert.equal(queue.take()?.type, 'all')
    assert.equal(queue.take(), undefined)
    for (let index = 0; index <= queueBounds.maxDigests; index += 1) queue.markDigest(digest(index))
    assert.equal(queue.take()?.type, 'all')
    assert.equal(queue.take(), undefined)
  })

  it('keeps what is named after a listing began', () => {
    const queue = new WorkQueue()
    void queue.markAll()
    assert.equal(queue.take()?.type, 'all')
    queue.markImage('k8s.io', 'a:1')
    assert.equal(queue.take()?.type, 'images')
  })

  it('lets those go who wait for a listing, when it is done or the queue is closed', async () => {
    const queue = new WorkQueue()
    const first = queue.markAll()
    const work = queue.take()
    assert.equal(work?.type, 'all')
    const second = queue.markAll()
    if (work?.type === 'all') work.done()
    await first
    queue.close()
    await second
  })

  it('wakes who waits for work, and at once where there is some or the end has come', async () => {
    const queue = new WorkQueue()
    const ending = new AbortController()
    const waiting = queue.wait(ending.signal)
    queue.markDigest(digest(1))
    await waiting
    await queue.wait(ending.signal)
    queue.take()
    const again = queue.wait(ending.signal)
    ending.abort()
    await again
    await queue.wait(ending.signal)
  })
})
