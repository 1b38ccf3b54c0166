import { randomUUID } from 'node:crypto'
import { lstat, mkdir, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { StarlingError, systemErrorCode } from '../../core/errors.ts'
import { syncFolder } from '../replace-file.ts'

/** Text by file name; keys and the PSK are `secret` and get mode 0600. */
export type FolderContent = Readonly<Record<string, { readonly text: string; readonly secret: boolean }>>

/** @throws StarlingError DISK_FULL, TRUST_FILE_INVALID */
export async function makeParentFolder(dir: string): Promise<void> {
  await mkdir(dir, { recursive: true, mode: 0o700 }).catch((error: unknown) => {
    throw folderError(dir, error)
  })
}

/** Is there anything under this name, a dangling link included? @throws StarlingError TRUST_FILE_INVALID */
export async function exists(path: string): Promise<boolean> {
  try {
    await lstat(path)
    return true
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return false
    throw folderError(path, error)
  }
}

/**
 * Makes the folder DIR/NAME (mode 0700) with all its files at once: they are written beside it, brought to the disk
 * and renamed, so that a crash leaves the whole folder or none. What is there already is never overwritten.
 * @throws StarlingError DISK_FULL, TRUST_FILE_INVALID
 */
export async function writeFolder(dir: string, name: string, content: FolderContent): Promise<void> {
  const target = join(dir, name)
  const temporary = join(dir, `.${name}-${randomUUID()}`)
  try {
    await mkdir(temporary, { mode: 0o700 })
    for (const [file, { text, secret }] of Object.entries(content)) {
      await writeFile(join(temporary, file), text, { mode: secret ? 0o600 : 0o644, flag: 'wx', flush: true })
    }
    await syncFolder(temporary)
    // Renaming onto a folder with files in it fails, so that of two runs at a time one wins.
    await rename(temporary, target)
    await syncFolder(dir)
  } catch (error) {
    await rm(temporary, { recursive: true, force: true }).catch(() => undefined)
    throw folderError(target, error)
  }
}

function folderError(path: string, cause: unknown): StarlingError {
  const code = systemErrorCode(cause) ?? 'unknown error'
  const position = { file: path }
  if (code === 'ENOSPC' || code === 'EDQUOT') {
    const hint = 'make room and try again; nothing was left half-written'
    return new StarlingError('DISK_FULL', 'there is no room for the trust files', { hint, position, cause })
  }
  const known: Record<string, readonly [message: string, hint: string]> = {
    ENOTEMPTY: ['the folder has just been made by another run', 'try again'],
    EEXIST: ['something of this name is in the way', 'choose another folder'],
    ENOTDIR: ['a part of the path is not a folder', 'choose another folder'],
    EACCES: ['the folder may not be written by this user', 'choose another folder or user'],
    EPERM: ['the folder may not be written by this user', 'choose another folder or user'],
    EROFS: ['the file system is read-only', 'choose another folder'],
    ENAMETOOLONG: ['the path is too long', 'choose another folder'],
  }
  const [message, hint] = known[code] ?? [`the folder cannot be written (${code})`, 'check the path']
  return new StarlingError('TRUST_FILE_INVALID', message, { hint, position, cause })
}
