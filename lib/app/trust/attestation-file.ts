import { constants, open } from 'node:fs/promises'
import { describeError, systemErrorCode } from '../../core/errors.ts'
import type { Logger } from '../../core/ports.ts'
import { decodeAttestationList, encodeAttestationList } from '../../trust/attestation-list.ts'
import { replaceFile } from '../replace-file.ts'

const maxFileSizeBytes = 64 * 2 ** 20

/** The attestations of a node's peers on disk: replaced whole, and thrown away where it is damaged. */
export class AttestationFile {
  readonly #path: string
  readonly #logger: Logger
  #writing: Promise<void> = Promise.resolve()
  #failed = false

  constructor(path: string, logger: Logger) {
    this.#path = path
    this.#logger = logger
  }

  /** What was kept, unchecked; empty where there is nothing, or nothing that can be used. Never throws. */
  async load(maxEntries: number): Promise<Uint8Array[]> {
    try {
      await using handle = await open(this.#path, constants.O_RDONLY | constants.O_NONBLOCK)
      const stats = await handle.stat()
      if (!stats.isFile()) throw new Error('it is not a file')
      if (stats.size > maxFileSizeBytes) throw new Error(`it has ${stats.size} bytes`)
      return decodeAttestationList(await handle.readFile(), maxEntries)
    } catch (error) {
      if (systemErrorCode(error) === 'ENOENT') return []
      const fields = { file: this.#path, reason: describeError(error) }
      this.#logger.warn(fields, 'the remembered attestations cannot be read and are discarded')
      return []
    }
  }

  /** Never throws: a full disk is logged once, and the old file stays. Saves run one after the other. */
  save(list: () => Iterable<Uint8Array>): Promise<void> {
    this.#writing = this.#writing.then(() => this.#write(list))
    return this.#writing
  }

  /** Resolves when no save is under way. */
  settled(): Promise<void> {
    return this.#writing
  }

  async #write(list: () => Iterable<Uint8Array>): Promise<void> {
    try {
      await replaceFile(this.#path, encodeAttestationList(list()))
      this.#failed = false
    } catch (error) {
      const fields = { file: this.#path, reason: describeError(error) }
      if (!this.#failed) {
        this.#logger.warn(fields, 'attestations cannot be remembered on disk; the node goes on without')
      }
      this.#failed = true
    }
  }
}
