import protobuf from 'protobufjs/minimal.js'
import { StarlingError } from './errors.ts'

/**
 * The encoding of everything that we put on the wire or on disk: a version byte, then protobuf fields (protobuf
 * "Encoding"). A reader skips the fields that it doesn't know, so later versions may add some.
 */
export type WireWriter = protobuf.Writer
export type WireReader = protobuf.Reader

export const wireVersion = 1

const wireType = { varint: 0, fixed64: 1, bytes: 2 } as const

/** Writes fields; a value that is undefined, and an empty list, writes nothing. */
export class FieldWriter {
  readonly #writer = protobuf.Writer.create()

  /** An unsigned integer up to 2^53 - 1. */
  uint(field: number, value: number | undefined): this {
    if (value !== undefined) this.#writer.uint32((field << 3) | wireType.varint).uint64(value)
    return this
  }

  bool(field: number, value: boolean | undefined): this {
    return value === undefined ? this : this.uint(field, value ? 1 : 0)
  }

  bytes(field: number, value: Uint8Array | undefined): this {
    if (value !== undefined) this.#writer.uint32((field << 3) | wireType.bytes).bytes(value)
    return this
  }

  string(field: number, value: string | undefined): this {
    if (value !== undefined) this.#writer.uint32((field << 3) | wireType.bytes).string(value)
    return this
  }

  strings(field: number, values: Iterable<string>): this {
    for (const value of values) this.string(field, value)
    return this
  }

  /** A nested message, once for each value. */
  messages<T>(field: number, values: Iterable<T>, write: (writer: FieldWriter, value: T) => void): this {
    for (const value of values) {
      const nested = new FieldWriter()
      write(nested, value)
      this.bytes(field, nested.finish())
    }
    return this
  }

  /** The fields alone. */
  finish(): Uint8Array {
    return this.#writer.finish()
  }

  /** The version byte, then the fields. */
  finishVersioned(version = wireVersion): Uint8Array {
    const body = this.#writer.finish()
    const out = new Uint8Array(1 + body.length)
    out[0] = version
    out.set(body, 1)
    return out
  }
}

/** One field as it was read; each accessor checks the wire type. Byte values are views into the input. */
export class Field {
  readonly number: number
  readonly #type: number
  readonly #reader: protobuf.Reader
  consumed = false

  constructor(number: number, type: number, reader: protobuf.Reader) {
    this.number = number
    this.#type = type
    this.#reader = reader
  }

  /** An unsigned integer up to 2^53 - 1. */
  uint(): number {
    this.#take(wireType.varint)
    const value = this.#reader.uint64()
    const number = typeof value === 'number' ? value : (value as unknown as { toNumber(): number }).toNumber()
    if (!Number.isSafeInteger(number) || number < 0) throw malformed(`field ${this.number} is out of range`)
    return number
  }

  bool(): boolean {
    return this.uint() !== 0
  }

  bytes(maxSizeBytes = Number.POSITIVE_INFINITY): Uint8Array {
    this.#take(wireType.bytes)
    const value = this.#reader.bytes()
    if (value.length > maxSizeBytes) throw malformed(`field ${this.number} is too long`)
    return value
  }

  /** Exactly `sizeBytes` bytes. */
  fixedBytes(sizeBytes: number): Uint8Array {
    const value = this.bytes(sizeBytes)
    if (value.length !== sizeBytes)
      throw malformed(`field ${this.number} has ${value.length} bytes, not ${sizeBytes}`)
    return value
  }

  string(maxSizeBytes = 4096): string {
    return utf8.decode(this.bytes(maxSizeBytes))
  }

  #take(type: number): void {
    if (this.#type !== type) throw malformed(`field ${this.number} has wire type ${this.#type}`)
    this.consumed = true
  }
}

const utf8 = new TextDecoder('utf-8', { fatal: true })

function malformed(why: string, cause?: unknown): StarlingError {
  return new StarlingError('WIRE_MALFORMED', why, { cause })
}

/**
 * Reads fields in the order of the input and calls `visit` for each; what `visit` does not read is skipped.
 * @throws StarlingError WIRE_MALFORMED on truncated or malformed input
 */
export function readFields(bytes: Uint8Array, visit: (field: Field) => void): void {
  try {
    const reader = protobuf.Reader.create(bytes)
    while (reader.pos < reader.len) {
      const tag = reader.uint32()
      const field = new Field(tag >>> 3, tag & 7, reader)
      if (field.number === 0) throw malformed('field number 0')
      visit(field)
      if (!field.consumed) reader.skipType(tag & 7)
    }
  } catch (error) {
    throw error instanceof StarlingError ? error : malformed('truncated or malformed input', error)
  }
}

/**
 * Like `readFields` after a version byte. A version that is not ours is an error: fields can be added without a new one.
 * @throws StarlingError WIRE_MALFORMED
 */
export function readVersioned(bytes: Uint8Array, visit: (field: Field) => void, version = wireVersion): void {
  if (bytes[0] !== version)
    throw malformed(bytes.length === 0 ? 'empty input' : `unknown version ${bytes[0]}`)
  readFields(bytes.subarray(1), visit)
}
