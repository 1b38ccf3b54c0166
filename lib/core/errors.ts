/**
 * The closed set of errors. Each has a code that scripts can rely on; docs/errors.md lists them and a spec holds
 * that list against this one.
 */
export const errorCodes = {
  CONFIG_INVALID: 'The configuration file cannot be used',
  REGISTRIES_INVALID: 'The registries file cannot be used',
  DIGEST_INVALID: 'The digest is malformed',
  REFERENCE_INVALID: 'The image reference is malformed',
  TRUST_FILE_UNSAFE: 'A key or PSK file can be read by others',
  TRUST_FILE_INVALID: 'A certificate, key or PSK file cannot be used',
  CERTIFICATE_EXPIRED: 'A certificate is expired or not valid yet',
  CERTIFICATE_MISMATCH: 'A certificate does not match its key, its CA or the node',
  ATTESTATION_REFUSED: 'A peer could not prove that it belongs to the cluster',
  TOKEN_INVALID: 'A join token cannot be used',
  JOIN_REFUSED: 'The servers of the cluster refuse a request',
  SERVER_UNTRUSTED: 'A server could not prove that it belongs to the cluster',
  SERVER_UNREACHABLE: 'No server of the cluster answers',
  PORT_IN_USE: 'A port is already taken',
  DATA_DIR_LOCKED: 'Another Starling uses the data directory',
  DISK_FULL: 'The disk is full',
  STORE_UNAVAILABLE: 'The content store cannot be reached',
  STORE_INVALID: 'The content store holds something that cannot be used',
  ARCHIVE_INVALID: 'An archive of images cannot be used',
  ROTATION_REFUSED: 'A rotation of keys cannot be begun or moved on',
  WIRE_MALFORMED: 'Bytes from the network or the disk do not decode',
  PEER_UNREACHABLE: 'A peer did not answer',
  FRAME_TOO_LARGE: 'A frame is larger than its bound',
  OPS_SOCKET_FAILED: 'The ops socket cannot be opened',
  OPS_UNAVAILABLE: 'No node answers on the ops socket',
  NOT_FOUND: 'What was asked for is not here',
  USAGE: 'The command line cannot be used',
  INTERNAL: 'A defect in Starling',
} as const

export type ErrorCode = keyof typeof errorCodes

/** A place in a file that a user wrote; line and column count from 1. */
export interface FilePosition {
  readonly file: string
  readonly line?: number
  readonly column?: number
}

/** Names of files and words of others may hold what would break the line, or command a terminal. */
const unprintable = /[\p{Cc}\p{Zl}\p{Zp}]/gu

/**
 * An error with a code. `message` says what is wrong, `hint` what to do; `format` joins them with the position to the
 * one line that users see: `file:line:column: what is wrong; what to do`.
 */
export class StarlingError extends Error {
  readonly code: ErrorCode
  readonly hint: string | undefined
  readonly position: FilePosition | undefined

  constructor(
    code: ErrorCode,
    message: string,
    options: { hint?: string | undefined; position?: FilePosition | undefined; cause?: unknown } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.name = 'StarlingError'
    this.code = code
    this.hint = options.hint
    this.position = options.position
  }

  /** The one line for a user, without a line break at its end. */
  format(): string {
    const { position } = this
    const place =
      position === undefined
        ? ''
        : [position.file, position.line, position.column].filter((part) => part !== undefined).join(':')
    const hint = this.hint === undefined ? '' : `; ${this.hint}`
    return `${place === '' ? '' : `${place}: `}${this.message}${hint}`.replaceAll(unprintable, '\ufffd')
  }
}

/** Several errors that were found in one go; `format` gives a line for each. Its code is that of the first. */
export class StarlingErrors extends StarlingError {
  readonly errors: readonly [StarlingError, ...StarlingError[]]

  constructor(errors: readonly [StarlingError, ...StarlingError[]]) {
    super(errors[0].code, errors[0].message, { hint: errors[0].hint, position: errors[0].position })
    this.errors = errors
  }

  override format(): string {
    return this.errors.map((error) => error.format()).join('\n')
  }
}

/** The one line that describes any thrown value. */
export function describeError(error: unknown): string {
  if (error instanceof StarlingError) return error.format()
  if (error instanceof Error) return error.message === '' ? error.name : error.message
  return String(error)
}

/** The `code` of a Node.js system error (`ENOENT`, …), or undefined. */
export function systemErrorCode(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined
}
