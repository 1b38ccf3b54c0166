import { pack, type TarPack } from 'tar-stream'

/** A file of a tar archive; its bytes are produced when it is written. */
export interface TarFile {
  readonly name: string
  readonly sizeBytes: number
  /** Default 0644. */
  readonly mode?: number
  readonly bytes: () => AsyncIterable<Uint8Array> | Iterable<Uint8Array>
}

const mtime = new Date(0)

/** A tar archive of these files as a stream; the same files make the same bytes. Memory stays bounded. */
export async function* tarOf(files: Iterable<TarFile>): AsyncGenerator<Uint8Array> {
  const archive = pack()
  const feeding = feed(archive, files).catch((error: Error) => archive.destroy(error))
  yield* archive
  await feeding
}

async function feed(archive: TarPack, files: Iterable<TarFile>): Promise<void> {
  for (const file of files) {
    const done = Promise.withResolvers<void>()
    const { name, sizeBytes: size, mode = 0o644 } = file
    const entry = archive.entry({ name, size, mode, mtime }, (error) =>
      error ? done.reject(error) : done.resolve(),
    )
    for await (const piece of file.bytes()) {
      if (!entry.write(piece)) await new Promise<void>((resolve) => entry.once('drain', resolve))
    }
    entry.end()
    await done.promise
  }
  archive.finalize()
}
