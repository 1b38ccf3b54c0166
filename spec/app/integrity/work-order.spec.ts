import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { WorkOrder } from '../../../lib/app/integrity/work-order.ts'
import { type Digest, parseDigest } from '../../../lib/core/digest.ts'

const digestOf = (letter: string): Digest => parseDigest(`sha256:${letter.repeat(64)}`)
const [a, b, c] = [digestOf('a'), digestOf('b'), digestOf('c')]

describe('the order in which blobs are hashed', () => {
  it('lets new blobs rest until none has come for a while', () => {
    const order = new WorkOrder(5000)
    order.fresh(a, 1000)
    order.fresh(b, 4000)
    assert.equal(order.restedMs, 9000)
    assert.equal(order.next(8999), undefined)
    assert.deepEqual(order.next(9000), { digest: a, kind: 'urgent' })
    assert.deepEqual(order.next(9000), { digest: b, kind: 'urgent' })
    assert.equal(order.restedMs, undefined)
  })

  it('lets them rest for half a minute at most, however many come', () => {
    const order = new WorkOrder(5000)
    for (let nowMs = 0; nowMs < 30_000; nowMs += 1000) {
      order.fresh(a, nowMs)
      assert.equal(order.next(nowMs), undefined)
    }
    assert.deepEqual(order.next(30_000), { digest: a, kind: 'urgent' })
  })

  it('hashes a new blob at once when somebody asks for it, and once only', () => {
    const order = new WorkOrder(5000)
    order.fresh(a, 0)
    order.urgent(a)
    order.fresh(a, 10)
    assert.deepEqual(order.next(20), { digest: a, kind: 'urgent' })
    assert.equal(order.next(20_000), undefined)
  })

  it('does other work while new blobs rest, and forgets those that are removed', () => {
    const order = new WorkOrder(5000)
    order.fresh(a, 0)
    order.backlog(a)
    order.backlog(b)
    order.doubt(c)
    assert.deepEqual(order.next(1), { digest: c, kind: 'doubt' })
    assert.deepEqual(order.next(1), { digest: b, kind: 'backlog' })
    order.forget(a)
    assert.equal(order.next(20_000), undefined)
  })
})
