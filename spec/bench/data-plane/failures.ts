import { giveBlob } from '../../integration/transfer/shared-blob.ts'
import { builtBin } from '../../support/built.ts'
import type { ClusterNode } from '../../support/cluster/node-process.ts'
import { waitHolders } from '../../support/cluster/views.ts'
import { createCluster } from '../../support/cluster.ts'
import type { Table } from '../benchmark.ts'
import { median, round } from '../support/statistics.ts'

const sizeBytes = 2 ** 28

/** What it costs in seconds when one of two holders is killed or stopped at a third of a transfer. */
export async function failures(log: (line: string) => void, rounds: number): Promise<Table> {
  await using cluster = await createCluster({ nodes: 3, bin: await builtBin() })
  const holders = cluster.nodes.slice(0, 2)
  const requester = cluster.node(2)
  const blob = await giveBlob(holders, [requester], sizeBytes)
  const pull = async (disturb?: () => unknown): Promise<number> => {
    let disturbed = disturb === undefined
    let done: unknown
    const fetched = await requester.fetch(blob.path, {
      onBytes(bytes) {
        if (disturbed || bytes < sizeBytes / 3) return
        disturbed = true
        done = disturb?.()
      },
    })
    await done
    if (fetched.digest !== blob.digest) throw new Error(`${fetched.bytes} wrong bytes came`)
    return fetched.durationMs / 1000
  }
  const mend = async (holder: ClusterNode) => {
    if (holder.running) holder.resume()
    else await holder.start()
    await waitHolders([requester], blob.digest, holders, 30_000)
    // Both are believed again.
    for (let turn = 0; turn < 2; turn++) await pull()
  }
  for (let turn = 0; turn < 2; turn++) await pull()
  const undisturbed: number[] = []
  const found: Record<string, number[]> = { killed: [], stopped: [] }
  for (let turn = 0; turn < rounds; turn++) {
    const holder = holders[turn % 2] as ClusterNode
    undisturbed.push(await pull())
    found.killed?.push(await pull(() => holder.kill()))
    await mend(holder)
    found.stopped?.push(await pull(() => holder.pause()))
    await mend(holder)
    log(`failures, round ${turn + 1} of ${rounds}`)
  }
  const base = median(undisturbed)
  return {
    part: 'failures',
    columns: ['a holder of two, at a third of 256 MiB', 'seconds', 'added seconds', 'most added'],
    rows: [
      ['nothing happens', round(base), '-', '-'],
      ...Object.entries(found).map(([what, seconds]) => [
        what,
        round(median(seconds)),
        round(median(seconds) - base),
        round(Math.max(...seconds) - base),
      ]),
    ],
    notes: [
      `Medians of ${rounds} rounds. No upstream is configured: all bytes come from the second holder. The stall timeout is 2 s.`,
    ],
  }
}
