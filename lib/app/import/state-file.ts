import { readFile } from 'node:fs/promises'
import { type Digest, isDigest } from '../../core/digest.ts'
import { systemErrorCode } from '../../core/errors.ts'
import { replaceFile } from '../replace-file.ts'

/** What is remembered of a file of the images folder. */
export interface FileRecord {
  readonly sizeBytes: number
  readonly mtimeMs: number
  /** SHA-256, hexadecimal; undefined where the file could not be read to its end. */
  readonly sha256: string | undefined
  readonly images: readonly { readonly name: string; readonly digest: Digest }[]
  /** References of a list that neither the store nor another node has yet. */
  readonly waiting?: readonly { readonly name: string; readonly reason: string }[] | undefined
  /** Why it could not be imported, in one line. */
  readonly problem: string | undefined
}

export type FolderState = ReadonlyMap<string, FileRecord>

const maxStateBytes = 64 * 2 ** 20

/** `damaged`: there was something that can't be used; everything is imported again. */
export async function readState(file: string): Promise<{ state: FolderState; damaged: boolean }> {
  try {
    const text = await readFile(file, 'utf8')
    if (text.length > maxStateBytes) return { state: new Map(), damaged: true }
    const { version, files } = JSON.parse(text) as { version?: unknown; files?: unknown }
    if (version !== 1 || typeof files !== 'object' || files === null)
      return { state: new Map(), damaged: true }
    const entries = Object.entries(files)
    const good = entries.filter((entry): entry is [string, FileRecord] => isRecord(entry[1]))
    return { state: new Map(good), damaged: good.length !== entries.length }
  } catch (error) {
    return { state: new Map(), damaged: systemErrorCode(error) !== 'ENOENT' }
  }
}

/** Replaces the file in one step, so that a crash leaves the old or the new one. */
export async function writeState(file: string, state: FolderState): Promise<void> {
  await replaceFile(file, `${JSON.stringify({ version: 1, files: Object.fromEntries(state) })}\n`)
}

function isRecord(value: unknown): value is FileRecord {
  const { sizeBytes, mtimeMs, sha256, images, waiting = [], problem } = (value ?? {}) as Partial<FileRecord>
  return (
    typeof sizeBytes === 'number' &&
    typeof mtimeMs === 'number' &&
    (sha256 === undefined || typeof sha256 === 'string') &&
    (problem === undefined || typeof problem === 'string') &&
    Array.isArray(waiting) &&
    waiting.every((one) => typeof one?.name === 'string' && typeof one?.reason === 'string') &&
    Array.isArray(images) &&
    images.every((image) => typeof image?.name === 'string' && isDigest(String(image?.digest)))
  )
}
