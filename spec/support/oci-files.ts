import { createWriteStream } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { digestHex } from '../../lib/core/digest.ts'
import { mediaTypes } from '../../lib/core/media-types.ts'
import type { Descriptor, PlatformImage, TestBlob, TestImage } from './oci-image.ts'
import { type TarFile, tarOf } from './tar.ts'

/** An image under its full name (`registry/repository:tag`). */
export interface NamedImage {
  readonly name: string
  readonly image: TestImage
}

const layoutFile = JSON.stringify({ imageLayoutVersion: '1.0.0' })

/** The descriptor of an image with its name, as containerd and skopeo write it into index.json. */
export function namedDescriptor(name: string, root: Descriptor): Descriptor {
  const tag = /:([^:/]+)$/.exec(name)?.[1]
  return {
    ...root,
    annotations: {
      'io.containerd.image.name': name,
      ...(tag === undefined ? {} : { 'org.opencontainers.image.ref.name': tag }),
    },
  }
}

function indexFile(images: readonly NamedImage[]): string {
  return JSON.stringify({
    schemaVersion: 2,
    mediaType: mediaTypes.ociIndex,
    manifests: images.map(({ name, image }) => namedDescriptor(name, image.root)),
  })
}

function allBlobs(images: readonly NamedImage[]): TestBlob[] {
  return [...new Map(images.flatMap(({ image }) => [...image.blobs])).values()]
}

/** Writes an OCI image-layout folder (OCI image specification, "Image Layout"). */
export async function writeOciLayout(folder: string, images: readonly NamedImage[]): Promise<void> {
  const blobs = join(folder, 'blobs', 'sha256')
  await mkdir(blobs, { recursive: true })
  for (const blob of allBlobs(images))
    await writeBlobFile(join(blobs, digestHex(blob.descriptor.digest)), blob)
  await writeFile(join(folder, 'oci-layout'), layoutFile)
  await writeFile(join(folder, 'index.json'), indexFile(images))
}

/** Writes the layout as one tar file: what `ctr images import` and `skopeo copy oci-archive:` read. */
export async function writeOciArchive(file: string, images: readonly NamedImage[]): Promise<void> {
  await writeTar(file, [
    textFile('oci-layout', layoutFile),
    textFile('index.json', indexFile(images)),
    ...allBlobs(images).map((blob) => blobFile(`blobs/sha256/${digestHex(blob.descriptor.digest)}`, blob)),
  ])
}

/** Writes what `docker save` writes: manifest.json, the configuration, and the layers uncompressed. */
export async function writeDockerArchive(file: string, name: string, image: PlatformImage): Promise<void> {
  const config = image.blobs.get(image.config.digest)
  if (config === undefined) throw new Error('the image lacks its configuration')
  const configName = `${digestHex(image.config.digest)}.json`
  const layers = image.diffs.map((diff) => ({ name: `${digestHex(diff.descriptor.digest)}/layer.tar`, diff }))
  const manifest = [{ Config: configName, RepoTags: [name], Layers: layers.map((layer) => layer.name) }]
  await writeTar(file, [
    blobFile(configName, config),
    ...layers.map((layer) => blobFile(layer.name, layer.diff)),
    textFile('manifest.json', JSON.stringify(manifest)),
  ])
}

/** Writes the bytes of a blob to a file. */
export async function writeBlobFile(path: string, blob: TestBlob): Promise<void> {
  await pipeline(Readable.from(blob.bytes()), createWriteStream(path))
}

async function writeTar(file: string, files: readonly TarFile[]): Promise<void> {
  await pipeline(Readable.from(tarOf(files)), createWriteStream(file))
}

function blobFile(name: string, blob: TestBlob): TarFile {
  return { name, sizeBytes: blob.descriptor.size, bytes: blob.bytes }
}

function textFile(name: string, text: string): TarFile {
  const bytes = Buffer.from(text)
  return { name, sizeBytes: bytes.length, bytes: () => [bytes] }
}
