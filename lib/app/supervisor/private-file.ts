import { randomUUID } from 'node:crypto'
import { open, rename, rm } from 'node:fs/promises'
import { dirname } from 'node:path'
import { describeError, StarlingError, systemErrorCode } from '../../core/errors.ts'

/**
 * Replaces a file of mode 0600 as a whole: after a crash there is the old one or the new one, and what this call has
 * returned from is on the disk. @throws StarlingError DISK_FULL, TRUST_FILE_INVALID
 */
export async function writePrivateFile(file: string, text: string): Promise<void> {
  const temporary = `${file}.${randomUUID()}`
  try {
    {
      await using handle = await open(temporary, 'wx', 0o600)
      await handle.writeFile(text)
      await handle.sync()
    }
    await rename(temporary, file)
    await using folder = await open(dirname(file))
    await folder.sync()
  } catch (cause) {
    await rm(temporary, { force: true }).catch(() => undefined)
    const code = systemErrorCode(cause)
    const full = code === 'ENOSPC' || code === 'EDQUOT'
    throw new StarlingError(
      full ? 'DISK_FULL' : 'TRUST_FILE_INVALID',
      `the file cannot be written: ${describeError(cause)}`,
      { hint: full ? 'make room' : 'check the folder', position: { file }, cause },
    )
  }
}
