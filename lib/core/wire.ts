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
    if (value === undefined) return this
    const writer = this.#writer.uint32((field << 3) | wireType.varint)
    // The same bytes, without the detour that 64 bits take.
    if (value <= 0xffff_ffff) writer.uint32(value)
    else writer.uint64(value)
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
      this.#writer.uint32((field << 3) | wireType.bytes).fork()
      write(this, value)
      this.#writer.ldelim()
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
    // Of the pool: memory of its own for each message would keep the collector busy.
    const pooled = Buffer.allocUnsafe(1 + body.length)
    const out = new Uint8Array(pooled.buffer, pooled.byteOffset, pooled.length)
    out[0] = version
    out.set(body, 1)
    return out
  }
}

/**
 * The field that is read just now, which is another one after the visit; each accessor checks the wire type. Byte values
 * are views into the input.
 */
export class Field {
  number = 0
  #type = 0
  #isConsumed = false
  readonly #reader: protobuf.Reader
  #buffer: Buffer | undefined

  constructor(reader: protobuf.Reader, buffer?: Buffer) {
    this.#reader = reader
    this.#buffer = buffer
  }

  /** Visits the fields up to `end`. */
  visitAll(end: number, visit: (field: Field) => void): void {
    const reader = this.#reader
    while (reader.pos < end) {
      const tag = reader.uint32()
      this.number = tag >>> 3
      this.#type = tag & 7
      this.#isConsumed = false
      if (this.number === 0) throw malformed('field number 0')
      visit(this)
      if (!this.#isConsumed) reader.skipType(this.#type)
    }
    if (reader.pos > end) throw malformed('a field goes beyond its message')
  }

  /** An unsigned integer up to 2^53 - 1. */
  uint(): number {
    this.#take(wireType.varint)
    const reader = this.#reader
    if (reader.pos < reader.len && reader.buf[reader.pos]! < 0x80) return reader.buf[reader.pos++]!
    const value = reader.uint64()
    const number = typeof value === 'number' ? value : (value as unknown as { toNumber(): number }).toNumber()
    if (!Number.isSafeInteger(number) || number < 0) throw malformed(`field ${this.number} is out of range`)
    return number
  }

  bool(): boolean {
    return this.uint() !== 0
  }

  bytes(maxSizeBytes = Number.POSITIVE_INFINITY): Uint8Array {
    const start = this.#skip(maxSizeBytes)
    return this.#reader.buf.subarray(start, this.#reader.pos)
  }

  /** Exactly `sizeBytes` bytes. */
  fixedBytes(sizeBytes: number): Uint8Array {
    const value = this.bytes(sizeBytes)
    if (value.length !== sizeBytes)
      throw malformed(`field ${this.number} has ${value.length} bytes, not ${sizeBytes}`)
    return value
  }

  /** Exactly `sizeBytes` bytes, or any multiple of them up to `most`, in hexadecimal digits. */
  hex(sizeBytes: number, most = 1): string {
    const start = this.#skip(sizeBytes * most)
    const end = this.#reader.pos
    if ((end - start) % sizeBytes !== 0 || (most === 1 && start === end))
      throw malformed(`field ${this.number} has ${end - start} bytes, not ${sizeBytes}`)
    const { buf } = this.#reader
    this.#buffer ??= Buffer.from(buf.buffer, buf.byteOffset, buf.byteLength)
    return this.#buffer.toString('hex', start, end)
  }

  /** A nested message. */
  fields(maxSizeBytes: number, visit: (field: Field) => void): void {
    const start = this.#skip(maxSizeBytes)
    const end = this.#reader.pos
    this.#reader.pos = start
    new Field(this.#reader, this.#buffer).visitAll(end, visit)
  }

  string(maxSizeBytes = 4096): string {
    return utf8.decode(this.bytes(maxSizeBytes))
  }

  /** Goes behind the bytes of this field and returns where they begin. */
  #skip(maxSizeBytes: number): number {
    this.#take(wireType.bytes)
    const sizeBytes = this.#reader.uint32()
    if (sizeBytes > maxSizeBytes) throw malformed(`field ${this.number} is too long`)
    const start = this.#reader.pos
    this.#reader.skip(sizeBytes)
    return start
  }

  #take(type: number): void {
    if (this.#type !== type) throw malformed(`field ${this.number} has wire type ${this.#type}`)
    this.#isConsumed = true
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
    new Field(reader).visitAll(reader.len, visit)
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
