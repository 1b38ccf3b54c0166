import { createHash } from 'node:crypto'
import { constants, readSync } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { systemErrorCode } from '../core/errors.ts'
import { invalidArchive } from './archive-error.ts'

const pieceBytes = 2 ** 16

/** A file that is read once from its begin to its end, hashed on the way. */
export class ArchiveFile implements AsyncDisposable {
  readonly path: string
  readonly sizeBytes: number
  readonly #handle: FileHandle
  readonly #hash = createHash('sha256')
  #position = 0

  private constructor(path: string, handle: FileHandle, sizeBytes: number) {
    this.path = path
    this.#handle = handle
    this.sizeBytes = sizeBytes
  }

  /** @throws StarlingError ARCHIVE_INVALID where it is no file that can be read */
  static async open(path: string): Promise<ArchiveFile> {
    let handle: FileHandle | undefined
    try {
      // Without O_NONBLOCK the open of a named pipe would wait for a writer.
      handle = await open(path, constants.O_RDONLY | constants.O_NONBLOCK)
      const stats = await handle.stat()
      if (!stats.isFile()) throw invalidArchive(path, 'this is not a plain file', 'name a plain file')
      if (stats.size === 0) throw invalidArchive(path, 'the file is empty')
      return new ArchiveFile(path, handle, stats.size)
    } catch (error) {
      await handle?.close()
      const code = systemErrorCode(error)
      if (code === undefined || !/^E[A-Z]+$/.test(code)) throw error
      const why = code === 'ENOENT' ? 'there is no such file' : `the file cannot be read (${code})`
      throw invalidArchive(path, why, 'check the path and its mode', error)
    }
  }

  /** How many bytes were read. */
  get position(): number {
    return this.#position
  }

  /** The first bytes, without reading on. */
  async peek(sizeBytes: number): Promise<Uint8Array> {
    const bytes = new Uint8Array(sizeBytes)
    const { bytesRead } = await this.#handle.read(bytes, 0, sizeBytes, 0)
    return bytes.subarray(0, bytesRead)
  }

  async *pieces(): AsyncGenerator<Uint8Array> {
    for (;;) {
      const piece = new Uint8Array(pieceBytes)
      const { bytesRead } = await this.#handle.read(piece, 0, piece.length, this.#position)
      if (bytesRead === 0) return
      yield this.#took(piece.subarray(0, bytesRead))
    }
  }

  /** The next piece at once, for decoders that can't wait; empty at the end. */
  nextSync(): Uint8Array {
    const piece = new Uint8Array(pieceBytes)
    const bytesRead = readSync(this.#handle.fd, piece, 0, piece.length, this.#position)
    return this.#took(piece.subarray(0, bytesRead))
  }

  /** SHA-256 of the whole file, in hexadecimal digits; reads what is left. To be called once. */
  async finish(): Promise<string> {
    for await (const _ of this.pieces());
    return this.#hash.digest('hex')
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#handle.close()
  }

  #took(piece: Uint8Array): Uint8Array {
    this.#position += piece.length
    this.#hash.update(piece)
    return piece
  }
}
