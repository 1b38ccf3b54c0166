import { createHash } from 'node:crypto'
import { constants } from 'node:fs'
import { access, lstat, opendir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type Digest, digestHex, isDigest } from '../core/digest.ts'
import { systemErrorCode } from '../core/errors.ts'
import { maxManifestSizeBytes } from '../core/media-types.ts'

/** Where containerd keeps its content unless configured otherwise. */
export const defaultContentPath = '/var/lib/containerd/io.containerd.content.v1.content'

/** Path of a blob in a content folder; a digest is checked hexadecimal, so nothing can leave the folder. */
export function blobPath(contentPath: string, digest: Digest): string {
  return join(contentPath, 'blobs', 'sha256', digestHex(digest))
}

/** Why the folder can't be read, in one line, or undefined where it can. */
export async function folderProblem(contentPath: string): Promise<string | undefined> {
  const blobs = join(contentPath, 'blobs', 'sha256')
  for (const path of [contentPath, blobs]) {
    try {
      await access(path, constants.R_OK | constants.X_OK)
    } catch (error) {
      const code = systemErrorCode(error) ?? String(error)
      if (code === 'ENOENT' && path === blobs) return undefined
      return code === 'EACCES' ? `permission denied on ${path}` : `${path}: ${code}`
    }
  }
  return undefined
}

/** The regular files among a folder's blobs. @throws the system error where the folder can't be read */
export async function listFolder(contentPath: string): Promise<Set<Digest>> {
  const digests = new Set<Digest>()
  try {
    for await (const entry of await opendir(join(contentPath, 'blobs', 'sha256'), { bufferSize: 512 })) {
      const digest = `sha256:${entry.name}`
      if (entry.isFile() && isDigest(digest)) digests.add(digest)
    }
  } catch (error) {
    if (systemErrorCode(error) !== 'ENOENT') throw error
  }
  return digests
}

/** Size of a blob's file; undefined where there is no such regular file. */
export async function fileSize(contentPath: string, digest: Digest): Promise<number | undefined> {
  try {
    const stats = await lstat(blobPath(contentPath, digest))
    return stats.isFile() ? stats.size : undefined
  } catch (error) {
    const code = systemErrorCode(error)
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined
    throw error
  }
}

/** The bytes of a small blob. Its size was looked at before; the bound holds should the file have grown since. */
export async function readSmallFile(contentPath: string, digest: Digest): Promise<Uint8Array | undefined> {
  const size = await fileSize(contentPath, digest)
  if (size === undefined || size > maxManifestSizeBytes) return undefined
  const path = blobPath(contentPath, digest)
  const bytes = await readFile(path, { flag: constants.O_RDONLY | constants.O_NOFOLLOW }).catch(absent)
  return bytes !== undefined && bytes.length <= maxManifestSizeBytes ? bytes : undefined
}

function absent(error: unknown): undefined {
  if (systemErrorCode(error) !== 'ENOENT') throw error
}

/** Are these the bytes that the digest names? */
export function matchesDigest(bytes: Uint8Array, digest: Digest): boolean {
  return createHash('sha256').update(bytes).digest('hex') === digestHex(digest)
}
