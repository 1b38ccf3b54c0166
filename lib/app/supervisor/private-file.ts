import { dirname } from 'node:path'
import { describeError, StarlingError, systemErrorCode } from '../../core/errors.ts'
import { replaceFile, syncFolder } from '../replace-file.ts'

/**
 * Replaces a file of mode 0600 as a whole: after a crash there is the old one or the new one, and what this call has
 * returned from is on the disk. @throws StarlingError DISK_FULL, TRUST_FILE_INVALID
 */
export async function writePrivateFile(file: string, text: string): Promise<void> {
  try {
    await replaceFile(file, text)
    await syncFolder(dirname(file))
  } catch (cause) {
    const code = systemErrorCode(cause)
    const full = code === 'ENOSPC' || code === 'EDQUOT'
    throw new StarlingError(
      full ? 'DISK_FULL' : 'TRUST_FILE_INVALID',
      `the file cannot be written: ${describeError(cause)}`,
      { hint: full ? 'make room' : 'check the folder', position: { file }, cause },
    )
  }
}
