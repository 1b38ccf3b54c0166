import { setTimeout as delay } from 'node:timers/promises'
import type { Benchmark } from './benchmark.ts'
import { benchCluster } from './support/bench-cluster.ts'
import { pollMs, shareOne } from './support/share-image.ts'
import { spread } from './support/statistics.ts'

const nodes = 20

/** From an image in one node's store to all nodes that can say who has it. */
export const propagation: Benchmark = {
  name: 'propagation',
  title: `Catalog: from an image event to resolvable on all of ${nodes} nodes`,
  async run(log, { quick }) {
    const youngRounds = quick ? 3 : 10
    const rounds = quick ? 5 : 100
    const settleMs = quick ? 3_000 : 20_000
    await using cluster = await benchCluster(nodes)
    let turn = 0
    const measure = async (what: string, count: number): Promise<(string | number)[][]> => {
      const all: number[] = []
      const last: number[] = []
      for (const end = turn + count; turn < end; turn += 1) {
        const times = await shareOne(cluster, cluster.node((turn * 7 + 3) % nodes), turn)
        all.push(...times)
        last.push(Math.max(...times))
        log(
          `image ${turn}: first ${Math.min(...times).toFixed(0)} ms, last ${Math.max(...times).toFixed(0)} ms`,
        )
      }
      return [
        [`${what}: resolvable on a node`, ...spread(all)],
        [`${what}: resolvable on the last node`, ...spread(last)],
      ]
    }
    const young = await measure('just started', youngRounds)
    await delay(settleMs)
    const settled = await measure('settled', rounds)
    return {
      columns: ['cluster', 'median ms', 'p99 ms', 'longest ms'],
      rows: [...settled, ...young],
      notes: [
        `${youngRounds} images as soon as all nodes see one another, ${rounds} more after ${settleMs / 1000} s; 5 blobs each, another holder each time, real processes of built JavaScript on loopback, image-layout folders as stores.`,
        `From before the write of index.json to the answer of a node's ops API that names the holder of the tag; a dozen of the nodes are asked every ${pollMs} ms, each time others, so the figures are up to ${pollMs} ms too high.`,
      ],
    }
  },
}
