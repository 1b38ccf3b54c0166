import Bunzip from 'seek-bzip'

const pieceBytes = 2 ** 20

/**
 * Unpacks bzip2 streams that follow one another, checksums checked; at most one block, 46 MiB for zeros, is in memory.
 * The decoder can't wait for input: `next` gives a piece at once, an empty one at the end.
 * @throws Error on malformed input
 */
export async function* unpackBzip2(next: () => Uint8Array): AsyncGenerator<Uint8Array> {
  let piece = next()
  let at = 0
  const refill = (): boolean => {
    if (at === piece.length) {
      piece = next()
      at = 0
    }
    return piece.length > 0
  }
  const input = {
    readByte(): number {
      if (!refill()) throw new Error('unexpected end of file')
      return piece[at++] ?? 0
    },
    read(buffer: Uint8Array, offset: number, length: number): number {
      for (let index = 0; index < length; index += 1) buffer[offset + index] = input.readByte()
      return length
    },
  }
  const full: Uint8Array[] = []
  let open = new Uint8Array(pieceBytes)
  let filled = 0
  const output = {
    writeByte(byte: number): void {
      open[filled++] = byte
      if (filled < pieceBytes) return
      full.push(open)
      open = new Uint8Array(pieceBytes)
      filled = 0
    },
  }
  const decoder = new Bunzip(input, output)
  for (;;) {
    if (decoder._init_block()) {
      decoder._read_bunzip()
      yield* full.splice(0)
      continue
    }
    if (decoder.reader.read(32) >>> 0 !== decoder.streamCRC) throw new Error('wrong checksum')
    if (!refill()) break
    decoder._start_bunzip(input, output)
  }
  if (filled > 0) yield open.subarray(0, filled)
}
