import { randomUUID } from 'node:crypto'
import { readFile, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type Digest, isDigest } from '../../core/digest.ts'

const maxDigests = 100_000

/** The blobs that were damaged when the node ran last; none where the file is missing or makes no sense. */
export async function readWithheld(dataDir: string): Promise<Digest[]> {
  const text = await readFile(join(dataDir, 'withheld'), 'utf8').catch(() => '')
  return text.split('\n').filter(isDigest).slice(0, maxDigests)
}

/** Rejects with a system error where it can't be written. */
export async function writeWithheld(dataDir: string, digests: Iterable<Digest>): Promise<void> {
  const path = join(dataDir, 'withheld')
  const temporary = `${path}.${randomUUID()}`
  await writeFile(temporary, `${[...digests].join('\n')}\n`, { mode: 0o600 })
  await rename(temporary, path)
}
