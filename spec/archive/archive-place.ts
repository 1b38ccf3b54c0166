import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { pack, type TarHeader } from 'tar-stream'
import { importArchive } from '../../lib/archive/import-archive.ts'
import { digestHex } from '../../lib/core/digest.ts'
import type { ImageWriter } from '../../lib/core/image-writer.ts'
import { createLayoutImageWriter } from '../../lib/oci-layout/image-writer.ts'
import { buildImage, hostPlatform } from '../support/oci-image.ts'
import { tempFolder } from '../support/temp-folder.ts'

export const name = 'made-up.test/team/app:1'
export const platform = { ...hostPlatform(), variant: undefined }

export interface Place {
  readonly dir: string
  readonly file: string
  readonly writer: ImageWriter
  run(): ReturnType<typeof importArchive>
  /** Everything that is in the layout. */
  state(): Promise<unknown>
}

export async function withPlace(body: (place: Place) => Promise<void>): Promise<void> {
  await using folder = await tempFolder('import')
  const layout = join(folder.path, 'oci')
  const file = join(folder.path, 'a.tar')
  const writer = await createLayoutImageWriter(layout)
  await body({
    dir: folder.path,
    file,
    writer,
    run: () => importArchive({ path: file, writer, platform: 'all', hostPlatform: platform }),
    state: async () => [
      (await readdir(join(layout, 'blobs', 'sha256'))).sort(),
      await readdir(join(layout, 'ingest')),
      await writer.images(),
    ],
  })
}

export const nothing = [[], [], []]
export const image = await buildImage({
  seed: 'import',
  layers: [{ sizeBytes: 300_000 }, { sizeBytes: 5000, gzip: true }],
})

export type Entry = readonly [header: TarHeader, content: string | Uint8Array]

/** A tar of these entries, also of ones that no tool would write. */
export async function tarBytes(entries: readonly Entry[]): Promise<Buffer> {
  const archive = pack()
  const feed = (async () => {
    for (const [header, content] of entries) {
      const bytes = Buffer.from(content)
      const done = Promise.withResolvers<void>()
      const entry = archive.entry(
        { ...header, ...(bytes.length > 0 ? { size: bytes.length } : {}) },
        (error) => (error ? done.reject(error) : done.resolve()),
      )
      if (bytes.length > 0) entry.write(bytes)
      entry.end()
      await done.promise
    }
    archive.finalize()
  })()
  const bytes = await buffer(Readable.from(archive))
  await feed
  return bytes
}

/** The entries of the image as an OCI archive. */
export async function ociEntries(): Promise<Entry[]> {
  const blobs = await Promise.all(
    [...image.blobs].map(
      async ([digest, blob]): Promise<Entry> => [
        { name: `blobs/sha256/${digestHex(digest)}` },
        await buffer(Readable.from(blob.bytes())),
      ],
    ),
  )
  const annotations = { 'io.containerd.image.name': name }
  return [
    ...blobs,
    [{ name: 'oci-layout' }, '{"imageLayoutVersion":"1.0.0"}'],
    [{ name: 'index.json' }, JSON.stringify({ manifests: [{ ...image.root, annotations }] })],
  ]
}
