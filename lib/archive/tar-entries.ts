import { pipeline, Readable } from 'node:stream'
import { extract } from 'tar-stream'
import { StarlingError } from '../core/errors.ts'
import { invalidArchive, shown } from './archive-error.ts'
import type { ArchiveFile } from './archive-file.ts'
import { badNameReason, entryName, linkTarget } from './entry-name.ts'
import { unpackArchive } from './unpack.ts'

/** Nobody's archive has more entries; a hostile one must not take the memory. */
const maxEntries = 50_000

export type TarEntry =
  | {
      readonly type: 'file'
      readonly name: string
      readonly sizeBytes: number
      /** Of its first byte, in what was unpacked. */
      readonly offset: number
      /** Must be read to its end before the next entry is asked for. */
      readonly bytes: AsyncIterable<Uint8Array>
    }
  | { readonly type: 'link'; readonly name: string; readonly target: string; readonly offset: number }

/**
 * The files and links of an archive, in order; folders are passed over.
 * @throws StarlingError ARCHIVE_INVALID for anything that no archive of images holds, with the byte of the unpacked tar
 */
export async function* tarEntries(file: ArchiveFile): AsyncGenerator<TarEntry> {
  const tar = extract()
  const failure: Failure = { unpackedBytes: 0 }
  pipeline(Readable.from(noted(unpackArchive(file), failure), { highWaterMark: 1 }), tar, () => {})
  let next = 0
  let count = 0
  const explain = (error: unknown): unknown => {
    const cause = failure.error ?? error
    if (cause instanceof StarlingError || failure.error !== undefined) return cause
    const { unpackedBytes } = failure
    const why = /unexpected end/i.test(String(error))
      ? `it is truncated: it ends at byte ${unpackedBytes}${unpackedBytes < next ? `, within an entry up to byte ${next}` : ''}`
      : `an entry is malformed, at byte ${next}`
    return invalidArchive(file.path, `the tar cannot be read: ${why}`, undefined, error)
  }
  try {
    for await (const source of tar) {
      const { header } = source
      const offset = header.byteOffset ?? next
      const sizeBytes = header.size ?? 0
      next = offset + Math.ceil(sizeBytes / 512) * 512
      const refuse = (why: string): never => {
        throw invalidArchive(
          file.path,
          `the entry ${shown(header.name)} cannot be used: ${why}, at byte ${offset} of the tar`,
        )
      }
      count += 1
      if (count > maxEntries) refuse(`the archive has more than ${maxEntries} entries`)
      if (!Number.isSafeInteger(sizeBytes) || sizeBytes < 0) refuse('its size is impossible')
      const problem = badNameReason(header.name)
      if (problem !== undefined) refuse(problem)
      const name = entryName(header.name)
      if (header.type === 'file' || header.type === 'contiguous-file') {
        yield { type: 'file', name, sizeBytes, offset, bytes: explained(source, explain) }
        continue
      }
      source.resume()
      if (header.type === 'symlink' || header.type === 'link') {
        const to = header.linkname ?? ''
        const target = header.type === 'link' ? hardTarget(to) : linkTarget(name, to)
        yield {
          type: 'link',
          name,
          offset,
          target: target ?? refuse(`it links to ${shown(to)}, out of the archive`),
        }
      } else if (header.type !== 'directory') refuse(`it is ${kindOf(header.type)}`)
    }
  } catch (error) {
    throw explain(error)
  }
}

/** The bytes of an entry; what goes wrong with the archive meanwhile is told as for the archive. */
async function* explained(
  bytes: AsyncIterable<Uint8Array>,
  explain: (error: unknown) => unknown,
): AsyncGenerator<Uint8Array> {
  try {
    yield* bytes
  } catch (error) {
    throw explain(error)
  }
}

interface Failure {
  error?: unknown
  /** How far the tar was read. */
  unpackedBytes: number
}

/** Passes pieces on and remembers where and why they ended: streams replace errors by their own. */
async function* noted(pieces: AsyncGenerator<Uint8Array>, failure: Failure): AsyncGenerator<Uint8Array> {
  try {
    for (;;) {
      const next = await pieces.next().catch((error: unknown) => {
        failure.error = error
        throw error
      })
      if (next.done === true) return
      failure.unpackedBytes += next.value.length
      yield next.value
    }
  } finally {
    await pieces.return(undefined)
  }
}

function hardTarget(target: string): string | undefined {
  return badNameReason(target) === undefined ? entryName(target) : undefined
}

function kindOf(type: string | null | undefined): string {
  return type === 'fifo' ? 'a named pipe' : /-device$/.test(type ?? '') ? 'a device' : 'of an unknown kind'
}
