import { StarlingError } from '../core/errors.ts'

/** Length prefix of a frame: 4 bytes, big-endian. */
export const frameHeaderSizeBytes = 4

/** Stands where a length would: the sender has said all it had to say. */
const endMark = 0xff_ff_ff_ff

/** The frame with its length in front, ready to be sent. */
export function encodeFrame(body: Uint8Array): Uint8Array {
  const out = Buffer.allocUnsafe(frameHeaderSizeBytes + body.length)
  out.writeUInt32BE(body.length, 0)
  out.set(body, frameHeaderSizeBytes)
  return out
}

/** What is sent after the last frame, so that a broken stream is never taken for a complete one. */
export function encodeEnd(): Uint8Array {
  const out = Buffer.allocUnsafe(frameHeaderSizeBytes)
  out.writeUInt32BE(endMark, 0)
  return out
}

export interface FrameDecoderOptions {
  readonly maxFrameSizeBytes: number
  /** Most bytes of all frames together. */
  readonly maxTotalSizeBytes?: number
}

/**
 * Cuts a byte stream into frames. It never holds more than one frame that is incomplete, and refuses one by its
 * length, before its bytes arrive.
 */
export class FrameDecoder {
  readonly #maxFrameSizeBytes: number
  readonly #maxTotalSizeBytes: number
  #chunks: Uint8Array[] = []
  #bufferedBytes = 0
  #totalBytes = 0
  #neededBytes = frameHeaderSizeBytes
  #bodyBytes: number | undefined
  #ended = false

  constructor(options: FrameDecoderOptions) {
    this.#maxFrameSizeBytes = options.maxFrameSizeBytes
    this.#maxTotalSizeBytes = options.maxTotalSizeBytes ?? Number.POSITIVE_INFINITY
  }

  /** True after the end mark. */
  get ended(): boolean {
    return this.#ended
  }

  /** Bytes that have arrived and belong to no frame yet. */
  get bufferedBytes(): number {
    return this.#bufferedBytes
  }

  /**
   * Takes what has arrived and returns the frames that are complete now, at most `limit` of them; what is left stays
   * for the next call. @throws StarlingError FRAME_TOO_LARGE, WIRE_MALFORMED for bytes after the end mark
   */
  push(chunk: Uint8Array, limit = Number.POSITIVE_INFINITY): Uint8Array[] {
    if (chunk.length > 0) {
      this.#chunks.push(chunk)
      this.#bufferedBytes += chunk.length
    }
    const frames: Uint8Array[] = []
    while (frames.length < limit && !this.#ended && this.#bufferedBytes >= this.#neededBytes) {
      if (this.#bodyBytes === undefined) this.#readHeader()
      else frames.push(this.#readBody(this.#bodyBytes))
    }
    if (this.#ended && this.#bufferedBytes > 0) {
      throw new StarlingError('WIRE_MALFORMED', 'bytes after the end of a sequence of frames')
    }
    return frames
  }

  /** What has arrived after the last frame that was returned; the decoder is spent. */
  takeRest(): Uint8Array {
    return this.#take(this.#bufferedBytes)
  }

  #readHeader(): void {
    const header = this.#take(frameHeaderSizeBytes)
    const length = Buffer.from(header.buffer, header.byteOffset, header.length).readUInt32BE(0)
    if (length === endMark) {
      this.#ended = true
      return
    }
    if (length > this.#maxFrameSizeBytes) {
      throw new StarlingError(
        'FRAME_TOO_LARGE',
        `a frame of ${length} bytes where ${this.#maxFrameSizeBytes} are allowed`,
      )
    }
    this.#totalBytes += length
    if (this.#totalBytes > this.#maxTotalSizeBytes) {
      throw new StarlingError('FRAME_TOO_LARGE', `more than ${this.#maxTotalSizeBytes} bytes in all frames`)
    }
    this.#bodyBytes = length
    this.#neededBytes = length
  }

  #readBody(length: number): Uint8Array {
    this.#bodyBytes = undefined
    this.#neededBytes = frameHeaderSizeBytes
    // A copy, so that a small frame that is kept doesn't hold the large buffer that it came in.
    return new Uint8Array(this.#take(length))
  }

  #take(count: number): Uint8Array {
    this.#bufferedBytes -= count
    const first = this.#chunks[0]
    if (first !== undefined && first.length >= count) {
      if (first.length === count) this.#chunks.shift()
      else this.#chunks[0] = first.subarray(count)
      return first.subarray(0, count)
    }
    const all = Buffer.concat(this.#chunks)
    this.#chunks = count < all.length ? [all.subarray(count)] : []
    return all.subarray(0, count)
  }
}
