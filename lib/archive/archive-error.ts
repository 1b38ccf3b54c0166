import { StarlingError } from '../core/errors.ts'

const defaultHint = 'make the archive anew'

/** `offset`: byte of the file, or of what is unpacked from it where that is said in the message. */
export function invalidArchive(file: string, message: string, hint = defaultHint, cause?: unknown) {
  return new StarlingError('ARCHIVE_INVALID', message, { hint, position: { file }, cause })
}

/** A name out of an archive, short and without control characters. */
export function shown(name: string): string {
  return JSON.stringify(name.length > 120 ? `${name.slice(0, 120)}…` : name)
}
