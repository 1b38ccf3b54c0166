import { readFile, stat } from 'node:fs/promises'
import { describeError, systemErrorCode } from '../../core/errors.ts'
import type { Logger } from '../../core/ports.ts'
import {
  decodeSnapshot,
  encodeSnapshot,
  type MembershipSnapshot,
  maxSnapshotSizeBytes,
} from '../../membership/snapshot.ts'
import { replaceFile } from '../replace-file.ts'

/** What a node remembers of its cluster, as a file that is replaced whole. A damaged one is discarded with a log line. */
export class SnapshotFile {
  readonly #path: string
  readonly #logger: Logger
  #writing: Promise<void> = Promise.resolve()
  #failed = false

  constructor(path: string, logger: Logger) {
    this.#path = path
    this.#logger = logger
  }

  /** Undefined where there is none, or none that can be used. */
  async load(): Promise<MembershipSnapshot | undefined> {
    try {
      const status = await stat(this.#path)
      if (!status.isFile()) throw new Error('it is no plain file')
      if (status.size > maxSnapshotSizeBytes) throw new Error(`it has ${status.size} bytes`)
      return decodeSnapshot(await readFile(this.#path))
    } catch (error) {
      if (systemErrorCode(error) === 'ENOENT') return undefined
      this.#logger.warn(
        { file: this.#path, reason: describeError(error) },
        'the remembered members cannot be read and are discarded',
      )
      return undefined
    }
  }

  /** Never throws: a full disk is logged once, and the old file stays. Saves run one after the other. */
  save(snapshot: MembershipSnapshot): Promise<void> {
    this.#writing = this.#writing.then(() => this.#write(snapshot))
    return this.#writing
  }

  async #write(snapshot: MembershipSnapshot): Promise<void> {
    try {
      await replaceFile(this.#path, encodeSnapshot(snapshot))
      this.#failed = false
    } catch (error) {
      if (!this.#failed)
        this.#logger.warn(
          { file: this.#path, reason: describeError(error) },
          'the members cannot be remembered on disk; the node goes on without',
        )
      this.#failed = true
    }
  }
}
