import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { after, before, describe, it } from 'node:test'
import { namespaceNetwork, skipWithoutNamespaces } from '../support/cluster/namespaces.ts'
import type { CuttableNetwork } from '../support/cluster/network.ts'
import type { ClusterNode } from '../support/cluster/node-process.ts'
import { waitHolders } from '../support/cluster/views.ts'
import { type Cluster, createCluster } from '../support/cluster.ts'
import { faults } from './transfer/faults.ts'
import { giveBlob, type SharedBlob } from './transfer/shared-blob.ts'
import { type Front, startFront } from './transfer/start-front.ts'

const sizeBytes = 256 * 2 ** 20
const holderCount = 4
/** Default of `registry.stallTimeout`. */
const stallTimeoutMs = 2000
/** A round trip, and what a machine that does other work takes longer. */
const slackMs = 2000

/** What is done, at its share of the body, to the one of the holders that were spared so far which sends most. */
type Step = readonly [share: number, hit: (holder: Front) => unknown]

/** Bytes that have left the namespace of a node. */
function sentBytes({ pid }: ClusterNode): number {
  if (pid === undefined) return 0
  const line = /^\s*eth0:(.*)$/m.exec(readFileSync(`/proc/${pid}/net/dev`, 'utf8'))?.[1] ?? ''
  return Number(line.trim().split(/\s+/)[8])
}

describe('a blob of 256 MiB from four holders', { skip: skipWithoutNamespaces() }, () => {
  let network: CuttableNetwork
  let cluster: Cluster
  let blob: SharedBlob
  let holders: readonly Front[]
  let undisturbedMs: number

  const requester = () => cluster.node(holderCount)

  async function pull(steps: readonly Step[] = []) {
    const waiting = [...steps]
    const hit: Front[] = []
    const done: Promise<unknown>[] = []
    const allSent = () => holders.map(({ node }) => sentBytes(node))
    let sentBefore = allSent()
    /** Undefined where nobody has sent since: what is read now was ahead of the reader. */
    const busiest = () => {
      const growth = allSent().map((bytes, index) =>
        hit.includes(holders[index] as Front) ? 0 : bytes - (sentBefore[index] ?? 0),
      )
      if (Math.max(...growth) <= 2 ** 20) return undefined
      sentBefore = allSent()
      return holders[growth.indexOf(Math.max(...growth))] as Front
    }
    const fetched = await requester().fetch(blob.path, {
      timeoutMs: 180_000,
      onBytes(bytes) {
        const [next] = waiting
        if (next === undefined) return
        const [share, step] = next
        if (bytes < share * sizeBytes) return
        if (step === mend) {
          waiting.shift()
          // The client reads on when all are well again.
          return mend().then(() => {
            hit.length = 0
            sentBefore = allSent()
          })
        }
        const holder = busiest()
        if (holder === undefined) return
        waiting.shift()
        hit.push(holder)
        done.push(Promise.resolve(step(holder)))
      },
    })
    await Promise.all(done)
    assert.deepEqual(waiting, [], 'every fault came in the middle')
    return { ...fetched, hit }
  }

  async function pullsWell(...steps: readonly Step[]): Promise<readonly Front[]> {
    const { status, end, digest, durationMs, hit } = await pull(steps)
    assert.deepEqual({ status, end, digest }, { status: 200, end: 'complete', digest: blob.digest })
    const boundMs = 2 * undisturbedMs + steps.length * stallTimeoutMs + slackMs
    assert.ok(durationMs <= boundMs, `it took ${durationMs} ms, undisturbed ${undisturbedMs}`)
    return hit
  }

  const isolate = ({ node }: Front) => {
    const others = [...cluster.nodes.keys()].filter((index) => index !== node.index)
    return network.cut([others, [node.index]])
  }
  const stop = ({ node }: Front) => node.pause()
  const kill = (holder: Front) => Promise.all([holder.node.kill(), holder.kill()])

  /** All holders are what they were. */
  async function mend(): Promise<void> {
    await network.heal()
    for (const holder of holders) {
      if (holder.node.running) holder.node.resume()
      else await Promise.all([holder.node.start(), holder.start()])
      holder.spoil('none')
    }
    const nodes = holders.map(({ node }) => node)
    await waitHolders([requester()], blob.digest, nodes, 30_000)
  }

  before(async () => {
    network = await namespaceNetwork(holderCount + 1)
    cluster = await createCluster({ nodes: holderCount + 1, network })
    const nodes = cluster.nodes.slice(0, holderCount)
    blob = await giveBlob(nodes, [requester()], sizeBytes)
    holders = await Promise.all(nodes.map((node) => startFront(cluster, node)))
    undisturbedMs = (await pull()).durationMs
  })
  after(async () => {
    for (const holder of holders ?? []) await holder.kill()
    await cluster?.[Symbol.asyncDispose]()
    await network?.[Symbol.asyncDispose]()
  })

  for (const fault of faults) {
    it(`arrives byte-equal where a holder ${fault}`, async () => {
      const spoil = (holder: Front) => holder.spoil(fault)
      const [holder] = await pullsWell([0.2, spoil])
      holder?.spoil('none')
      assert.ok((holder?.spoiled ?? 0) > 0)
    })
  }

  it('arrives byte-equal where the packets of a holder vanish', async () => {
    await pullsWell([0.3, isolate])
    await mend()
  })

  it('arrives byte-equal where a holder is stopped', async () => {
    await pullsWell([0.3, stop])
    await mend()
  })

  it('arrives byte-equal where one holder after the other spoils what it sends', async () => {
    const spoil = (index: number) => (holder: Front) => holder.spoil(faults[index] ?? 'none')
    const hit = await pullsWell([0.15, spoil(0)], [0.4, spoil(1)], [0.65, spoil(2)])
    assert.ok(hit.every(({ spoiled }) => spoiled > 0))
    await mend()
  })

  it('arrives byte-equal where one crawls, one is stopped, one vanishes, and the first is killed', async () => {
    const hit: Front[] = []
    const first =
      (disturb: (holder: Front) => unknown) =>
      (holder: Front): unknown => {
        hit.push(holder)
        return disturb(holder)
      }
    await pullsWell(
      [0.15, first((holder) => holder.spoil('sends 10 KB a second'))],
      [0.35, first(stop)],
      [0.55, first(isolate)],
      [0.8, () => kill(hit[0] as Front)],
    )
    await mend()
  })

  it('arrives byte-equal where each of them happens in turn, and the holder is mended before the next', async () => {
    const disturbances = [
      ...faults.map((fault) => (holder: Front) => holder.spoil(fault)),
      stop,
      isolate,
      kill,
    ]
    const share = 1 / (disturbances.length + 1)
    const steps = disturbances.flatMap((disturb, index): Step[] => [
      [share * (index + 0.5), disturb],
      [share * (index + 1), mend],
    ])
    await pull(steps).then(({ status, end, digest }) => {
      assert.deepEqual({ status, end, digest }, { status: 200, end: 'complete', digest: blob.digest })
    })
  })

  it('arrives byte-equal where a holder is killed', async () => {
    await pullsWell([0.3, kill])
  })
})
