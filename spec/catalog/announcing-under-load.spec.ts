import assert from 'node:assert/strict'
import { it } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { encodeDelta } from '../../lib/catalog/delta.ts'
import { makeNode } from './catalog-node.ts'
import { digestOf, registry, TestOrigin } from './support.ts'

const stepMs = 10

/** A clock and timers that go on only when told to. */
class ManualTime {
  nowMs = 1e6
  readonly clock = { monotonicMs: () => this.nowMs, wallMs: () => this.nowMs }
  readonly timers = {
    after: (delayMs: number, run: () => void) => {
      const timer = { atMs: this.nowMs + delayMs, run }
      this.#due.add(timer)
      return () => void this.#due.delete(timer)
    },
    turn: async () => undefined,
  }
  readonly #due = new Set<{ readonly atMs: number; readonly run: () => void }>()

  async pass(durationMs: number, each: () => void = () => undefined): Promise<void> {
    for (const endMs = this.nowMs + durationMs; this.nowMs < endMs; ) {
      this.nowMs += stepMs
      each()
      for (const timer of [...this.#due]) {
        if (timer.atMs > this.nowMs || !this.#due.delete(timer)) continue
        timer.run()
      }
      await turn()
    }
  }
}

it('changes share one message, without a reminder, while many messages come from others, and not when it is calm', async () => {
  const time = new ManualTime()
  const node = makeNode({ clock: time.clock, timers: time.timers })
  const other = new TestOrigin()
  await node.catalog.start()
  node.catalog.setOriginState(other.peerId, 'live')
  await node.catalog.applyStoreChange({ type: 'snapshot', images: [], blobs: [] })
  await time.pass(5_000)
  let heard = 0
  const flood = () => {
    // Two in each step of 10 ms.
    for (let message = 0; message < 2; message++)
      node.receive(encodeDelta(other.step({ add: heard++ === 0 ? [digestOf('flood')] : [] })))
  }
  const pull = async (image: string, each?: () => void) => {
    for (const content of ['a', 'b', 'c']) {
      await node.catalog.applyStoreChange({
        type: 'image-put',
        image: {
          namespace: 'k8s.io',
          name: `${registry}/${image}:${content}`,
          target: digestOf(image + content),
        },
        blobs: [{ digest: digestOf(image + content), sizeBytes: 1, sources: [], children: [] }],
      })
      await time.pass(150, each)
    }
  }
  const messagesOf = async (work: () => Promise<void>) => {
    const before = node.published.length
    await work()
    return node.published.slice(before).map(({ change }) => (change === undefined ? 'checkpoint' : 'delta'))
  }
  assert.deepEqual(
    await messagesOf(async () => {
      await pull('calm')
      await time.pass(5_000)
    }),
    ['delta', 'delta', 'delta', 'checkpoint'],
  )
  assert.deepEqual(
    await messagesOf(async () => {
      await time.pass(3_000, flood)
      await pull('busy', flood)
      await time.pass(4_000, flood)
    }),
    ['delta'],
  )
  assert.equal(node.counts.get('starling_catalog_reminders_left_out_total'), 1)
  assert.equal(node.catalog.findHolders(registry, digestOf('flood'), 1).holders, 1)
  await node.catalog.stop()
})
