import { pipeline, Readable, type Transform } from 'node:stream'
import { createGunzip, createZstdDecompress } from 'node:zlib'
import { describeError, StarlingError, systemErrorCode } from '../core/errors.ts'
import { invalidArchive } from './archive-error.ts'
import type { ArchiveFile } from './archive-file.ts'
import { unpackBzip2 } from './bzip2.ts'
import { type Compression, compressionOfName } from './compression.ts'
import { unpackLz4 } from './lz4.ts'

/** An archive that swells beyond both is taken for one that was made to fill the disk. */
export const swellBounds = { freeBytes: 2 ** 30, maxRatio: 200 } as const

const magics: readonly (readonly [Compression, readonly number[]])[] = [
  ['gzip', [0x1f, 0x8b]],
  ['zstd', [0x28, 0xb5, 0x2f, 0xfd]],
  ['bzip2', [0x42, 0x5a, 0x68]],
  ['lz4', [0x04, 0x22, 0x4d, 0x18]],
]

/** `pzstd` begins with one; LZ4 has the same (RFC 8878, "Skippable Frames"). */
function isSkippableFrame([first = 0, ...rest]: Uint8Array): boolean {
  return first >> 4 === 5 && [0x2a, 0x4d, 0x18].every((byte, index) => rest[index] === byte)
}

function compressionOf(head: Uint8Array, name: string): Compression | undefined {
  if (isSkippableFrame(head.subarray(0, 4))) return compressionOfName(name) === 'lz4' ? 'lz4' : 'zstd'
  const found = magics.find(([, magic]) => magic.every((byte, index) => head[index] === byte))
  if (found !== undefined) return found[0]
  return Buffer.from(head.subarray(257, 262)).toString('latin1') === 'ustar' ? 'none' : undefined
}

/**
 * The tar in a file, whatever it is compressed with: the bytes decide, not the name.
 * @throws StarlingError ARCHIVE_INVALID with the byte of the file
 */
export async function* unpackArchive(file: ArchiveFile): AsyncGenerator<Uint8Array> {
  const compression = compressionOf(await file.peek(512), file.path)
  if (compression === undefined) {
    const claimed = compressionOfName(file.path)
    const claim = claimed === undefined || claimed === 'none' ? '' : ` and no ${claimed} data`
    throw invalidArchive(file.path, `this is no tar archive${claim}: it begins with other bytes, at byte 0`)
  }
  let unpackedBytes = 0
  try {
    for await (const piece of decoderOf(compression, file)) {
      unpackedBytes += piece.length
      const { freeBytes, maxRatio } = swellBounds
      if (unpackedBytes > freeBytes && unpackedBytes > file.position * maxRatio) {
        throw invalidArchive(
          file.path,
          `the archive swells to more than ${maxRatio} times its size, at byte ${file.position}`,
          'if that is right, store it uncompressed',
        )
      }
      yield piece
    }
  } catch (error) {
    if (error instanceof StarlingError || /^E[A-Z]+$/.test(systemErrorCode(error) ?? '')) throw error
    const why = describeError(error)
    const what = /unexpected end/i.test(why) ? 'it is truncated' : why
    throw invalidArchive(
      file.path,
      `the ${compression} data cannot be unpacked: ${what}, near byte ${file.position}`,
      undefined,
      error,
    )
  }
}

function decoderOf(compression: Compression, file: ArchiveFile): AsyncIterable<Uint8Array> {
  switch (compression) {
    case 'none':
      return file.pieces()
    case 'gzip':
      return through(file.pieces(), createGunzip({ chunkSize: 2 ** 16 }))
    case 'zstd':
      return through(file.pieces(), createZstdDecompress({ chunkSize: 2 ** 16 }))
    case 'bzip2':
      return unpackBzip2(() => file.nextSync())
    case 'lz4':
      return unpackLz4(file.pieces())
  }
}

function through(source: AsyncIterable<Uint8Array>, decoder: Transform): AsyncIterable<Uint8Array> {
  // An error of either side comes out where the decoder is read.
  pipeline(Readable.from(source, { highWaterMark: 1 }), decoder, () => {})
  return decoder
}
