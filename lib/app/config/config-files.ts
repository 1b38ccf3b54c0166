import { constants, open } from 'node:fs/promises'
import { hostname } from 'node:os'
import { dirname, resolve } from 'node:path'
import { parseConfig } from '../../config/config-file.ts'
import type { NodeRole } from '../../config/join-config.ts'
import { emptyRegistries, parseRegistries, type RegistriesPlan } from '../../config/registries-file.ts'
import { maxTextSizeBytes } from '../../config/text-source.ts'
import type { NodeConfig } from '../../core/config.ts'
import { type ErrorCode, StarlingError, systemErrorCode } from '../../core/errors.ts'

const reasons: Readonly<Record<string, readonly [message: string, hint: string]>> = {
  ENOENT: ['the file does not exist', 'name another one with --config, or create it'],
  EACCES: ['the file may not be read by this user', 'run as root or change its owner'],
  EISDIR: ['this is a folder', 'name the file in it'],
  ENOTDIR: ['a part of the path is not a folder', 'correct the path'],
  ELOOP: ['the path goes round in circles of symbolic links', 'correct the links'],
  ENAMETOOLONG: ['the path is too long', 'correct the path'],
}

/**
 * Reads a file that a person wrote, of at most 1 MiB; more is left unread and refused by the parser.
 * @throws StarlingError with `code`
 */
async function readSmallFile(file: string, code: ErrorCode): Promise<{ content: Uint8Array; mode: number }> {
  try {
    // Without O_NONBLOCK the open of a named pipe would wait for a writer.
    await using handle = await open(file, constants.O_RDONLY | constants.O_NONBLOCK)
    const stat = await handle.stat()
    if (stat.isDirectory()) throw Object.assign(new Error('folder'), { code: 'EISDIR' })
    if (!stat.isFile()) {
      throw new StarlingError(code, 'this is not a plain file', {
        hint: 'name a plain file',
        position: { file },
      })
    }
    const buffer = new Uint8Array(maxTextSizeBytes + 1)
    let length = 0
    while (length < buffer.length) {
      const { bytesRead } = await handle.read(buffer, length, buffer.length - length)
      if (bytesRead === 0) break
      length += bytesRead
    }
    return { content: buffer.subarray(0, length), mode: stat.mode & 0o777 }
  } catch (error) {
    if (error instanceof StarlingError) throw error
    const system = systemErrorCode(error) ?? ''
    const [message, hint] = reasons[system] ?? [`the file cannot be read (${system})`, 'check the path']
    throw new StarlingError(code, message, { hint, position: { file }, cause: error })
  }
}

/**
 * The configuration of a node from its file.
 * @param role what it is read for; undefined: to look at it
 * @throws StarlingError, StarlingErrors CONFIG_INVALID
 */
export async function readConfig(file: string, role?: NodeRole): Promise<NodeConfig> {
  if (file.includes('\0') || file === '') {
    throw new StarlingError('CONFIG_INVALID', 'the path of the file is empty or holds a NUL character')
  }
  const { content, mode } = await readSmallFile(file, 'CONFIG_INVALID')
  const config = parseConfig(content, file, { hostname: hostname(), folder: dirname(resolve(file)), role })
  if (config.join?.token !== undefined && (mode & 0o077) !== 0) {
    throw new StarlingError('CONFIG_INVALID', 'the file holds a token and can be used by others', {
      hint: `run: chmod 600 ${file}, or name a tokenFile in its place`,
      position: { file },
    })
  }
  return config
}

/**
 * What registries.yaml says; a file that does not exist mirrors nothing.
 * @throws StarlingError, StarlingErrors REGISTRIES_INVALID
 */
export async function readRegistries(file: string): Promise<RegistriesPlan> {
  try {
    return parseRegistries((await readSmallFile(file, 'REGISTRIES_INVALID')).content, file)
  } catch (error) {
    const absent = error instanceof StarlingError && systemErrorCode(error.cause) === 'ENOENT'
    if (absent) return emptyRegistries(file)
    throw error
  }
}
