import { constants, type Stats } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { StarlingError, systemErrorCode } from '../../core/errors.ts'
import type { TrustText } from '../../trust/credential-checks.ts'

export const maxTrustFileSizeBytes = 2 ** 20

/**
 * Reads a certificate, key or PSK file: a plain file of at most 1 MiB of UTF-8 text. The checks are made on the file that
 * is open, and a pipe or device is never waited for.
 * @param what the file in a few words, for messages: `the serving key`
 * @param maxSizeBytes instead of 1 MiB
 * @param secret the file is refused where its group or others may do anything with it
 * @throws StarlingError TRUST_FILE_INVALID, TRUST_FILE_UNSAFE
 */
export async function readTrustText(
  file: string,
  {
    what,
    secret,
    maxSizeBytes = maxTrustFileSizeBytes,
  }: { what: string; secret: boolean; maxSizeBytes?: number },
): Promise<TrustText> {
  const invalid = (message: string, hint: string, cause?: unknown): StarlingError =>
    new StarlingError('TRUST_FILE_INVALID', message, { hint, position: { file }, cause })
  let handle: FileHandle | undefined
  try {
    handle = await open(file, constants.O_RDONLY | constants.O_NONBLOCK)
    const stats = await handle.stat()
    const kind = kindOf(stats)
    if (kind !== undefined) throw invalid(`${what} is ${kind}, not a file`, 'name the file itself')
    const mode = stats.mode & 0o777
    if (secret && (mode & 0o077) !== 0) {
      throw new StarlingError(
        'TRUST_FILE_UNSAFE',
        `${what} can be used by others (mode ${mode.toString(8).padStart(4, '0')})`,
        { hint: `run: chmod 600 ${file}`, position: { file } },
      )
    }
    const bytes = Buffer.alloc(Math.min(stats.size, maxSizeBytes) + 1)
    const { bytesRead } = await handle.read(bytes, 0, bytes.length, 0)
    if (bytesRead > maxSizeBytes || stats.size > maxSizeBytes) {
      throw invalid(`${what} is larger than ${maxSizeBytes / 2 ** 20} MiB`, 'name the right file')
    }
    if (bytesRead === 0) throw invalid(`${what} is empty`, 'write it anew')
    return { file, text: decode(bytes.subarray(0, bytesRead)) ?? binary() }
  } catch (error) {
    if (error instanceof StarlingError) throw error
    throw invalid(
      `${what} ${reasonOf(systemErrorCode(error))}`,
      'check the path under trust: in the configuration',
      error,
    )
  } finally {
    await handle?.close()
  }

  function binary(): never {
    throw invalid(
      `${what} is binary, not text`,
      'certificates and keys must be PEM, the PSK hexadecimal digits or base64',
    )
  }
}

function kindOf(stats: Stats): string | undefined {
  if (stats.isFile()) return undefined
  if (stats.isDirectory()) return 'a folder'
  if (stats.isFIFO() || stats.isSocket()) return 'a pipe or socket'
  return 'a device'
}

function decode(bytes: Uint8Array): string | undefined {
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes)
    return text.includes('\0') ? undefined : text
  } catch {
    return undefined
  }
}

function reasonOf(code: string | undefined): string {
  const reasons: Record<string, string> = {
    ENOENT: 'does not exist',
    ENOTDIR: 'does not exist: part of its path is a file',
    EACCES: 'cannot be read: permission denied',
    EPERM: 'cannot be read: permission denied',
    ELOOP: 'cannot be read: its symbolic links run in a circle',
    ENAMETOOLONG: 'cannot be read: its path is too long',
    ENXIO: 'is a pipe or socket, not a file',
    ERR_INVALID_ARG_VALUE: 'cannot be read: its path holds a NUL character',
  }
  return reasons[code ?? ''] ?? `cannot be read (${code ?? 'unknown error'})`
}
