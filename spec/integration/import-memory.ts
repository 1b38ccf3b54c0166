import { readFile, rename, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { StatusView } from '../../lib/core/ops-view.ts'
import type { ClusterNode } from '../support/cluster/node-process.ts'
import { createCluster } from '../support/cluster.ts'
import { eventually } from '../support/eventually.ts'
import { writeDockerArchive } from '../support/oci-files.ts'
import { buildImage } from '../support/oci-image.ts'
import { runOrFail } from '../support/processes.ts'

export interface ImportPeak {
  readonly archiveBytes: number
  /** Greatest resident memory of the whole node, from its start to the end of the import. */
  readonly peakRssBytes: number
  readonly seconds: number
  readonly bytesPerSecond: number
}

/** What the kernel says of the greatest resident memory of a process (proc_pid_status(5), `VmHWM`). */
async function peakOf(pid: number): Promise<number> {
  const text = await readFile(`/proc/${pid}/status`, 'utf8')
  return Number(/^VmHWM:\s+(\d+) kB$/m.exec(text)?.[1] ?? Number.NaN) * 1024
}

async function drop(
  node: ClusterNode,
  name: string,
  sizeBytes: number,
  ending: '' | '.zst',
): Promise<string> {
  const image = await buildImage({ seed: 'memory', layers: [{ sizeBytes }, { sizeBytes: 1000 }] })
  const aside = join(node.dir, 'big.tar')
  await writeDockerArchive(aside, name, image)
  if (ending === '.zst') await runOrFail('zstd', ['-q', '-1', '--rm', aside], { timeoutMs: 600_000 })
  const file = join(node.dir, 'data', 'images', `big.tar${ending}`)
  await rename(`${aside}${ending}`, file)
  return file
}

/** Drops an archive with noise of this size into the images folder of a running node, and measures the node. */
export async function measureImport(options: {
  readonly sizeBytes: number
  readonly ending: '' | '.zst'
  readonly timeoutMs: number
  readonly store?: (dir: string) => Promise<object>
}): Promise<ImportPeak> {
  const { sizeBytes, ending, timeoutMs, store } = options
  await using cluster = await createCluster({
    nodes: 1,
    mirrors: ['memory.test'],
    ...(store === undefined ? {} : { store: (place) => store(place.dir) }),
    configure: (config, place) => ({ ...config, images: { dir: join(place.dir, 'data', 'images') } }),
  })
  const node = cluster.node(0)
  const name = 'memory.test/team/big:1'
  await runOrFail('mkdir', ['-p', join(node.dir, 'data', 'images')])
  const file = await drop(node, name, sizeBytes, ending)
  const archiveBytes = (await stat(file)).size
  const startedMs = performance.now()
  const view = async () => (await node.ops<StatusView>('status')).imports?.files[0]
  await eventually(async () => (await view())?.images[0] === name, {
    timeoutMs,
    what: 'the archive is imported',
  })
  const seconds = (performance.now() - startedMs) / 1000
  // What is freed late would show only a moment later.
  await delay(500)
  const peakRssBytes = await peakOf(node.pid ?? 0)
  await rm(file)
  return { archiveBytes, peakRssBytes, seconds, bytesPerSecond: archiveBytes / seconds }
}
