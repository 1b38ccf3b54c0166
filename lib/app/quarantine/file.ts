import { constants, open } from 'node:fs/promises'
import { join } from 'node:path'
import { isDigest } from '../../core/digest.ts'
import { describeError, systemErrorCode } from '../../core/errors.ts'
import { publicKeyFromPeerId } from '../../core/peer-id.ts'
import type { Logger } from '../../core/ports.ts'
import { replaceFile } from '../replace-file.ts'
import { evidences } from './evidence.ts'
import { maxRecords, type QuarantineRecord } from './list.ts'

const maxFileSizeBytes = 2 ** 20
const maxNameLength = 256

/** Who is in quarantine, on disk: replaced whole, mode 0600, and thrown away where it is damaged. */
export class QuarantineFile {
  readonly #path: string
  readonly #log: Logger
  #writing: Promise<void> = Promise.resolve()
  #failed = false

  constructor(dataDir: string, log: Logger) {
    this.#path = join(dataDir, 'quarantine')
    this.#log = log
  }

  /** Empty where there is nothing, or nothing that can be used. Never throws. */
  async load(): Promise<QuarantineRecord[]> {
    try {
      await using handle = await open(this.#path, constants.O_RDONLY | constants.O_NONBLOCK)
      const stats = await handle.stat()
      if (!stats.isFile()) throw new Error('it is not a file')
      if (stats.size > maxFileSizeBytes) throw new Error(`it has ${stats.size} bytes`)
      const { version, peers } = JSON.parse(await handle.readFile('utf8')) as Record<string, unknown>
      if (version !== 1 || !Array.isArray(peers) || peers.length > maxRecords || !peers.every(isRecord)) {
        throw new Error('it makes no sense')
      }
      return peers
    } catch (error) {
      if (systemErrorCode(error) === 'ENOENT') return []
      const fields = { file: this.#path, reason: describeError(error) }
      this.#log.warn(fields, 'the list of peers in quarantine cannot be read and is discarded')
      return []
    }
  }

  /** Never throws: a full disk is logged once, and the old file stays. Saves run one after the other. */
  save(records: readonly QuarantineRecord[]): Promise<void> {
    this.#writing = this.#writing.then(() => this.#write(records))
    return this.#writing
  }

  /** Resolves when no save is under way. */
  settled(): Promise<void> {
    return this.#writing
  }

  async #write(peers: readonly QuarantineRecord[]): Promise<void> {
    try {
      await replaceFile(this.#path, `${JSON.stringify({ version: 1, peers })}\n`)
      this.#failed = false
    } catch (error) {
      const fields = { file: this.#path, reason: describeError(error) }
      if (!this.#failed) {
        this.#log.warn(fields, 'peers in quarantine cannot be remembered on disk; the node goes on without')
      }
      this.#failed = true
    }
  }
}

function isPeerId(text: string): boolean {
  try {
    return publicKeyFromPeerId(text).length > 0
  } catch {
    return false
  }
}

function isRecord(value: unknown): value is QuarantineRecord {
  const record = (value ?? {}) as Partial<Record<keyof QuarantineRecord, unknown>>
  const { peerId, name, sinceMs, untilMs, digest, evidence, times } = record
  return (
    typeof peerId === 'string' &&
    isPeerId(peerId) &&
    typeof name === 'string' &&
    name.length <= maxNameLength &&
    [sinceMs, untilMs, times].every((number) => Number.isSafeInteger(number) && Number(number) > 0) &&
    Number(untilMs) >= Number(sinceMs) &&
    typeof digest === 'string' &&
    isDigest(digest) &&
    evidences.some((known) => known === evidence)
  )
}
