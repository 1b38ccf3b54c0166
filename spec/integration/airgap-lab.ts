import { mkdir, rename } from 'node:fs/promises'
import { join } from 'node:path'
import type { ClusterNode } from '../support/cluster/node-process.ts'
import { eventually } from '../support/eventually.ts'
import { writeDockerArchive, writeOciArchive } from '../support/oci-files.ts'
import { buildImage } from '../support/oci-image.ts'
import { runOrFail } from '../support/processes.ts'

/** A registry that no machine serves. */
export const registry = 'air-gap.test'

const compressions: readonly (readonly [ending: string, command: readonly string[]])[] = [
  ['', []],
  ['.gz', ['gzip', '-1']],
  ['.zst', ['zstd', '-q', '--rm']],
  ['.bz2', ['bzip2', '-1']],
  ['.lz4', ['lz4', '-q', '--rm', '-m']],
]

/** The programs that compress. */
export const compressors = ['gzip', 'zstd', 'bzip2', 'lz4']

/** Makes an archive beside the images folder of a node and moves it there. `ending` compresses it: `.gz` and such. */
export async function drop(
  node: ClusterNode,
  file: string,
  make: (path: string) => Promise<void>,
  ending = '',
): Promise<void> {
  const [, command = []] = compressions.find(([known]) => known === ending) ?? []
  const aside = join(node.dir, file)
  await make(aside)
  const [program, ...flags] = command
  if (program !== undefined) await runOrFail(program, [...flags, aside])
  const images = join(node.dir, 'data', 'images')
  await mkdir(images, { recursive: true })
  await rename(`${aside}${ending}`, join(images, `${file}${ending}`))
}

export interface DroppedForm {
  readonly repository: string
  /** In the images folder. */
  readonly file: string
}

/** Drops one archive of each kind in each compression, each with an image of its own, tag 1. */
export async function dropEachForm(node: ClusterNode): Promise<DroppedForm[]> {
  const dropped: DroppedForm[] = []
  for (const [ending] of compressions) {
    for (const kind of ['docker', 'oci']) {
      const repository = `${kind}${ending.replace('.', '-')}`
      const name = `${registry}/team/${repository}:1`
      const image = await buildImage({
        seed: repository,
        layers: [{ sizeBytes: 60_000 }, { sizeBytes: 700, gzip: true }],
      })
      const make = (path: string) =>
        kind === 'docker' ? writeDockerArchive(path, name, image) : writeOciArchive(path, [{ name, image }])
      await drop(node, `${kind}.tar`, make, ending)
      dropped.push({ repository, file: `${kind}.tar${ending}` })
    }
  }
  return dropped
}

/** Waits until a node answers for tag 1 of `team/<repository>`; returns its digest. */
export async function offered(node: ClusterNode, repository: string): Promise<string> {
  const path = `/v2/team/${repository}/manifests/1?ns=${registry}`
  return eventually(
    async () => {
      const { status, headers } = await node.fetch(path, { method: 'HEAD' })
      return status === 200 ? String(headers['docker-content-digest']) : undefined
    },
    { timeoutMs: 30_000, what: `${repository} at ${node.name}` },
  )
}
