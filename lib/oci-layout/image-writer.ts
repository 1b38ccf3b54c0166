import { createHash, randomBytes } from 'node:crypto'
import { type FileHandle, mkdir, open, readdir, readFile, rename, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { type Digest, digestHex } from '../core/digest.ts'
import type {
  ImageIntake,
  ImageWriter,
  LabelledImage,
  Labels,
  NewImage,
  StoredBlob,
} from '../core/image-writer.ts'
import { maxManifestSizeBytes } from '../core/media-types.ts'
import { blobPath, blobsFolder, layoutNamespace, nameOf } from './layout.ts'
import { asStoreError, LayoutWriter, syncFolder, writeAll } from './writer.ts'

const stagePrefix = 'import-'

/** Puts images into an image-layout folder, which is made where it is absent; labels are annotations of index.json. */
export async function createLayoutImageWriter(path: string): Promise<ImageWriter> {
  const writer = await LayoutWriter.open(path)
  const sizeOf = (digest: Digest) => sizeOfFile(blobPath(path, digest))
  return {
    kind: 'oci-layout',
    async begin() {
      return asStoreError(path, async () => {
        const ingest = join(path, 'ingest')
        for (const name of await readdir(ingest))
          if (name.startsWith(stagePrefix)) await rm(join(ingest, name), { recursive: true, force: true })
        const stage = join(ingest, `${stagePrefix}${randomBytes(6).toString('hex')}`)
        await mkdir(stage)
        return new LayoutIntake(path, stage, writer)
      })
    },
    async images() {
      const entries = await writer.entries()
      return entries.flatMap(({ digest, annotations }): LabelledImage[] => {
        const name = nameOf(annotations)
        if (name === undefined) return []
        return [{ namespace: layoutNamespace, name, target: digest, labels: annotations }]
      })
    },
    labelImage: (name, labels) => writer.annotateImage(name, labels),
    async labelBlob() {},
    sizeOf,
    readSmall: (digest) => readSmall(blobPath(path, digest)),
    async close() {},
  }
}

/** Blobs wait in a folder of their own until they are published: a crash leaves nothing in the store. */
class LayoutIntake implements ImageIntake {
  readonly #path: string
  readonly #stage: string
  readonly #writer: LayoutWriter

  constructor(path: string, stage: string, writer: LayoutWriter) {
    this.#path = path
    this.#stage = stage
    this.#writer = writer
  }

  addBlob(source: AsyncIterable<Uint8Array>): Promise<StoredBlob> {
    return asStoreError(this.#stage, async () => {
      const aside = join(this.#stage, `new-${randomBytes(6).toString('hex')}`)
      const hash = createHash('sha256')
      let sizeBytes = 0
      let handle: FileHandle | undefined
      try {
        handle = await open(aside, 'wx', 0o644)
        for await (const piece of source) {
          hash.update(piece)
          sizeBytes += piece.length
          await writeAll(handle, piece)
        }
        await handle.sync()
      } finally {
        await handle?.close()
      }
      const digest = `sha256:${hash.digest('hex')}` as Digest
      await rename(aside, this.#staged(digest))
      return { digest, sizeBytes }
    })
  }

  async sizeOf(digest: Digest): Promise<number | undefined> {
    return (await sizeOfFile(this.#staged(digest))) ?? sizeOfFile(blobPath(this.#path, digest))
  }

  async readSmall(digest: Digest): Promise<Uint8Array | undefined> {
    return (await readSmall(this.#staged(digest))) ?? readSmall(blobPath(this.#path, digest))
  }

  publish(blobs: ReadonlyMap<Digest, Labels>, images: readonly NewImage[]): Promise<void> {
    return asStoreError(this.#path, async () => {
      for (const digest of blobs.keys()) {
        if ((await sizeOfFile(this.#staged(digest))) === undefined) continue
        await rename(this.#staged(digest), blobPath(this.#path, digest))
      }
      await syncFolder(blobsFolder(this.#path))
      await this.#writer.putImages(
        images.map(({ name, target, labels }) => ({
          name,
          descriptor: { mediaType: target.mediaType, digest: target.digest, size: target.sizeBytes },
          annotations: labels,
        })),
      )
    })
  }

  async close(): Promise<void> {
    await rm(this.#stage, { recursive: true, force: true })
  }

  #staged(digest: Digest): string {
    return join(this.#stage, digestHex(digest))
  }
}

async function sizeOfFile(file: string): Promise<number | undefined> {
  const stats = await stat(file).catch(() => undefined)
  return stats?.isFile() === true ? stats.size : undefined
}

async function readSmall(file: string): Promise<Uint8Array | undefined> {
  const size = await sizeOfFile(file)
  return size === undefined || size > maxManifestSizeBytes ? undefined : readFile(file)
}
