import { type ErrorCode, StarlingError } from '../core/errors.ts'

export const maxTextSizeBytes = 1024 * 1024

const replacement = '\ufffd'
// biome-ignore lint/suspicious/noControlCharactersInRegex: it is what the check is for
const forbidden = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f]|\r(?!\n)/

interface Place {
  readonly line: number
  readonly column: number
}

function placeOf(text: string, index: number): Place {
  const before = text.slice(0, index)
  return { line: before.split('\n').length, column: index - before.lastIndexOf('\n') }
}

/** Where UTF-8 decoding first failed, in characters of the text that was decoded with replacements. */
function firstBadByte(bytes: Uint8Array, text: string): number {
  for (let at = text.indexOf(replacement); at !== -1; at = text.indexOf(replacement, at + 1)) {
    const offset = Buffer.byteLength(text.slice(0, at))
    if (bytes[offset] !== 0xef || bytes[offset + 1] !== 0xbf || bytes[offset + 2] !== 0xbd) return at
  }
  return 0
}

/**
 * The text of a file that a person wrote: UTF-8 without control characters, at most 1 MiB; a byte order mark is dropped.
 * @throws StarlingError with `code`
 */
export function decodeText(content: string | Uint8Array, file: string, code: ErrorCode): string {
  const fail = (message: string, hint: string, place?: Place): never => {
    throw new StarlingError(code, message, { hint, position: { file, ...place } })
  }
  const sizeBytes = typeof content === 'string' ? Buffer.byteLength(content) : content.length
  if (sizeBytes > maxTextSizeBytes) fail('the file is larger than 1 MiB', 'is it the right file?')
  if (typeof content !== 'string') {
    const [first, second] = content
    if ((first === 0xff && second === 0xfe) || (first === 0xfe && second === 0xff)) {
      fail('the file is UTF-16', 'save it as UTF-8', { line: 1, column: 1 })
    }
  }
  const decoded = typeof content === 'string' ? content : new TextDecoder('utf-8').decode(content)
  const text = decoded.startsWith('\ufeff') ? decoded.slice(1) : decoded
  if (typeof content !== 'string' && text.includes(replacement)) {
    const hasMark = content[0] === 0xef && content[1] === 0xbb && content[2] === 0xbf
    const bad = firstBadByte(hasMark ? content.subarray(3) : content, text)
    if (text[bad] === replacement) fail('the file is not UTF-8', 'save it as UTF-8', placeOf(text, bad))
  }
  const match = forbidden.exec(text)
  if (match !== null) {
    const point = `U+${match[0].charCodeAt(0).toString(16).toUpperCase().padStart(4, '0')}`
    const what =
      match[0] === '\r' ? 'a carriage return without a line feed' : `the control character ${point}`
    fail(`the file holds ${what}`, 'remove it', placeOf(text, match.index))
  }
  return text
}
