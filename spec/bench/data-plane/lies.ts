import type { Digest } from '../../../lib/core/digest.ts'
import type { PeerView } from '../../../lib/core/ops-view.ts'
import { hashedBytes, makeLiar, mendLiar, waitHashed } from '../../integration/lying/tamper.ts'
import { blobFile } from '../../integration/transfer/shared-blob.ts'
import { builtBin } from '../../support/built.ts'
import { putImage } from '../../support/cluster/put-image.ts'
import { waitHolders } from '../../support/cluster/views.ts'
import { createCluster } from '../../support/cluster.ts'
import { buildArtifact } from '../../support/oci-image.ts'
import type { Table } from '../benchmark.ts'
import { median, round } from '../support/statistics.ts'

const sizeBytes = 2 ** 26
/** In the middle of a piece in the middle. */
const lieAt = 2 ** 25 + 12_345
/** Of four holders three are asked: not each pull meets the liar. */
const maxPulls = 20

/** What it costs in seconds when one of four holders lies about a byte, with a map that matches. */
export async function lies(log: (line: string) => void, rounds: number): Promise<Table> {
  await using cluster = await createCluster({ nodes: 5, bin: await builtBin() })
  const holders = cluster.nodes.slice(0, 4)
  const requester = cluster.node(4)
  const image = await buildArtifact({ seed: 'lies', sizes: [sizeBytes] })
  const digest = [...image.blobs.values()].find(({ descriptor }) => descriptor.size === sizeBytes)?.descriptor
    .digest as Digest
  for (const node of holders) {
    const before = await hashedBytes(node)
    await putImage(node, 'registry.test/team/lies:1', image)
    await waitHashed(node, before, sizeBytes)
  }
  await waitHolders([requester], digest, holders, 30_000)

  const pull = async (): Promise<number> => {
    const fetched = await requester.fetch(`/v2/team/lies/blobs/${digest}?ns=registry.test`)
    if (fetched.digest !== digest) throw new Error(`${fetched.bytes} wrong bytes came, or too few`)
    return fetched.durationMs / 1000
  }
  const isFound = async () =>
    (await requester.ops<PeerView[]>('peers')).some(({ quarantine }) => quarantine !== undefined)

  for (let turn = 0; turn < 3; turn++) await pull()
  const honest: number[] = []
  const lied: number[] = []
  for (let turn = 0; turn < rounds; turn++) {
    honest.push(await pull())
    const liar = holders[turn % holders.length] ?? requester
    const file = blobFile(liar, digest)
    const restarted = async (change: () => Promise<void>) => {
      // A node that runs keeps the map that it knows.
      await liar.stop()
      await change()
      await liar.start()
      await waitHolders([requester], digest, holders, 30_000)
    }
    await restarted(() => makeLiar(liar, digest, file, lieAt))
    const pulls: number[] = []
    while (!(await isFound()) && pulls.length < maxPulls) pulls.push(await pull())
    const found = await isFound()
    if (found) lied.push(Math.max(...pulls))
    await restarted(() => mendLiar(liar, digest, file, lieAt))
    if (found) await requester.cli('peers', 'release', liar.name)
    for (let again = 0; again < 2; again++) await pull()
    log(
      `lies, round ${turn + 1} of ${rounds}: ${pulls.length} pulls, ${found ? 'found' : 'never asked for that piece'}`,
    )
  }
  if (lied.length === 0) throw new Error('no liar was ever asked for the piece about which it lies')
  const base = median(honest)
  return {
    part: 'lies',
    columns: ['four holders, 64 MiB', 'seconds', 'added seconds', 'most added'],
    rows: [
      ['all honest', round(base), '-', '-'],
      [
        'one lies in the middle',
        round(median(lied)),
        round(median(lied) - base),
        round(Math.max(...lied) - base),
      ],
    ],
    notes: [
      `Medians of ${lied.length} rounds of ${rounds}, in which the liar was asked for that piece, another liar each time; the longest pull until it is in quarantine. Every pull gave the right bytes; no upstream is configured.`,
    ],
  }
}
