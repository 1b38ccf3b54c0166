import { createHash } from 'node:crypto'
import { constants } from 'node:fs'
import { type FileHandle, open, rename, rm } from 'node:fs/promises'
import { StarlingError, systemErrorCode } from '../../core/errors.ts'

/** Larger files are not written, and not read. */
export const maxMemoryFileBytes = 64 * 2 ** 20
/** Frames are those of the catalog protocol, and some room. */
const maxFrameBytes = 2 ** 17
const lengthBytes = 4
const checksumBytes = 32
const gatheredBytes = 2 ** 18

/**
 * Writes frames to a file that is replaced whole: each behind its length (4 bytes, big endian), at the end the SHA-256 of all
 * that. What would take the file beyond its bound is left out.
 * @returns bytes written
 * @throws the error of the file system; the old file stays
 */
export async function writeMemoryFile(path: string, frames: AsyncIterable<Uint8Array>): Promise<number> {
  const temporary = `${path}.new`
  try {
    const file = await open(temporary, 'w', 0o600)
    let written = 0
    try {
      const checksum = createHash('sha256')
      const put = async (bytes: Uint8Array): Promise<void> => {
        await file.writeFile(bytes)
        written += bytes.length
      }
      let gathered: Uint8Array[] = []
      let size = 0
      const flush = async (): Promise<void> => {
        const bytes = Buffer.concat(gathered)
        gathered = []
        size = 0
        checksum.update(bytes)
        await put(bytes)
      }
      for await (const frame of frames) {
        if (written + size + frame.length + lengthBytes > maxMemoryFileBytes - checksumBytes) break
        const length = Buffer.alloc(lengthBytes)
        length.writeUInt32BE(frame.length)
        gathered.push(length, frame)
        size += lengthBytes + frame.length
        if (size >= gatheredBytes) await flush()
      }
      await flush()
      await put(checksum.digest())
      await file.sync()
    } finally {
      await file.close()
    }
    await rename(temporary, path)
    return written
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => undefined)
    throw error
  }
}

/**
 * The frames of a file, or none where there is no file. All of it is checked before the first is given.
 * @throws StarlingError WIRE_MALFORMED where the file is damaged, no plain file or too large
 */
export async function readMemoryFile(path: string): Promise<readonly Uint8Array[]> {
  let file: FileHandle
  try {
    // Without O_NONBLOCK opening a named pipe would wait for its writer for ever.
    file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK)
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return []
    throw error
  }
  try {
    const status = await file.stat()
    if (!status.isFile()) throw damaged('it is no plain file')
    if (status.size > maxMemoryFileBytes) throw damaged(`it has ${status.size} bytes`)
    return framesOf(await file.readFile())
  } finally {
    await file.close()
  }
}

function framesOf(bytes: Buffer): Uint8Array[] {
  const end = bytes.length - checksumBytes
  if (end < 0) throw damaged('it is too short')
  const body = bytes.subarray(0, end)
  if (!createHash('sha256').update(body).digest().equals(bytes.subarray(end))) {
    throw damaged('its checksum is wrong')
  }
  const frames: Uint8Array[] = []
  for (let at = 0; at < end; ) {
    const length = at + lengthBytes <= end ? body.readUInt32BE(at) : 0
    at += lengthBytes
    if (length === 0 || length > maxFrameBytes || at + length > end) throw damaged('a length in it is wrong')
    frames.push(body.subarray(at, at + length))
    at += length
  }
  return frames
}

function damaged(why: string): StarlingError {
  return new StarlingError('WIRE_MALFORMED', why)
}
