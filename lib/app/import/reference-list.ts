import { constants } from 'node:fs'
import { open } from 'node:fs/promises'
import { fullName } from '../../archive/documents.ts'
import { StarlingError, systemErrorCode } from '../../core/errors.ts'

const maxListBytes = 2 ** 20
const maxReferences = 10_000

/** Is it the name of a list of references, one a line? */
export function isReferenceList(name: string): boolean {
  return name.endsWith('.txt')
}

/**
 * The full names in a list, each once, in order; empty lines and those that begin with `#` are passed over.
 * @throws StarlingError REFERENCE_INVALID with the line
 */
export function parseReferenceList(text: string, file: string): string[] {
  const names = new Set<string>()
  const lines = text.replace(/^\ufeff/, '').split(/\r\n|\r|\n/)
  for (const [index, line] of lines.entries()) {
    const content = line.trim()
    if (content === '' || content.startsWith('#')) continue
    const fail = (why: string, hint: string): never => {
      throw new StarlingError('REFERENCE_INVALID', why, { hint, position: { file, line: index + 1 } })
    }
    const name = fullName(content)
    if (name === undefined) {
      const shown = JSON.stringify(content.length > 120 ? `${content.slice(0, 120)}…` : content)
      return fail(`${shown} is no image reference`, 'write one registry/repository:tag a line')
    }
    names.add(name)
    if (names.size > maxReferences) fail(`the list has more than ${maxReferences} references`, 'split it')
  }
  return [...names]
}

/** @throws StarlingError REFERENCE_INVALID with the line, or why the file can't be read */
export async function readReferenceList(file: string): Promise<string[]> {
  const fail = (why: string, hint: string, cause?: unknown) =>
    new StarlingError('REFERENCE_INVALID', why, { hint, position: { file }, cause })
  let bytes: Uint8Array
  try {
    // Without O_NONBLOCK the open of a named pipe would wait for a writer.
    await using handle = await open(file, constants.O_RDONLY | constants.O_NONBLOCK)
    if (!(await handle.stat()).isFile()) throw fail('this is not a plain file', 'name a plain file')
    const buffer = new Uint8Array(maxListBytes + 1)
    const { bytesRead } = await handle.read(buffer, 0, buffer.length, 0)
    bytes = buffer.subarray(0, bytesRead)
  } catch (error) {
    if (error instanceof StarlingError) throw error
    const code = systemErrorCode(error)
    throw fail(
      code === 'ENOENT' ? 'there is no such file' : `the list cannot be read (${code})`,
      'check it',
      error,
    )
  }
  if (bytes.length > maxListBytes) throw fail('the list is larger than 1 MiB', 'split it')
  let text: string
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch (error) {
    throw fail('the list is no text', 'write one registry/repository:tag a line, in UTF-8', error)
  }
  return parseReferenceList(text, file)
}
