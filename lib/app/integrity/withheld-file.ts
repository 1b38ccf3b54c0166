import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type Digest, isDigest } from '../../core/digest.ts'
import { replaceFile } from '../replace-file.ts'

const maxDigests = 100_000

/** The blobs that were damaged when the node ran last; none where the file is missing or makes no sense. */
export async function readWithheld(dataDir: string): Promise<Digest[]> {
  const text = await readFile(join(dataDir, 'withheld'), 'utf8').catch(() => '')
  return text.split('\n').filter(isDigest).slice(0, maxDigests)
}

/** Rejects with a system error where it can't be written. */
export async function writeWithheld(dataDir: string, digests: Iterable<Digest>): Promise<void> {
  await replaceFile(join(dataDir, 'withheld'), `${[...digests].join('\n')}\n`)
}
