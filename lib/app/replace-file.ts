import { open, rename, rm } from 'node:fs/promises'

/**
 * Replaces a file whole: whoever reads it, also after a crash, finds the old content or the new. The new file has mode 0600
 * and is on disk before it takes the name. Two at once for one path are not for here.
 * @throws the error of the file system; the old file stays and nothing is left behind
 */
export async function replaceFile(path: string, content: string | Uint8Array): Promise<void> {
  const temporary = `${path}.new`
  try {
    // What a crash left would keep its own mode.
    await rm(temporary, { force: true })
    const file = await open(temporary, 'wx', 0o600)
    try {
      await file.writeFile(content)
      await file.sync()
    } finally {
      await file.close()
    }
    await rename(temporary, path)
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => undefined)
    throw error
  }
}

/** Brings to the disk which names a folder holds: what was renamed in it stays so after a crash of the machine. */
export async function syncFolder(dir: string): Promise<void> {
  const handle = await open(dir)
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}
