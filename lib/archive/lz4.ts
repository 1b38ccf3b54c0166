import { ByteFeed } from './byte-feed.ts'
import { Xxh32 } from './xxh32.ts'

const frameMagic = 0x184d2204
const skippableMagic = 0x184d2a50
const historyBytes = 65_536
const minMatch = 4
const blockSizes: Readonly<Record<number, number>> = { 4: 2 ** 16, 5: 2 ** 18, 6: 2 ** 20, 7: 2 ** 22 }

/**
 * Unpacks LZ4 frames that follow one another (LZ4 frame format 1.6.4), checksums checked, in at most 9 MiB of memory. There
 * is no package that is kept and streams.
 * @throws Error on malformed input
 */
export async function* unpackLz4(packed: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const feed = new ByteFeed(packed)
  while (!(await feed.ended())) {
    const magic = readUint32(await feed.take(4))
    if (magic === frameMagic) yield* unpackFrame(feed)
    else if ((magic & 0xfffffff0) >>> 0 === skippableMagic) await feed.skip(readUint32(await feed.take(4)))
    else throw new Error('an LZ4 frame has a wrong magic number')
  }
}

async function* unpackFrame(feed: ByteFeed): AsyncGenerator<Uint8Array> {
  const frame = await readFrameHeader(feed)
  const whole = frame.contentChecksum ? new Xxh32() : undefined
  const window = new Uint8Array(historyBytes + frame.maxBlockBytes)
  let history = 0
  let unpacked = 0
  for (;;) {
    const word = readUint32(await feed.take(4))
    if (word === 0) break
    const size = word & 0x7fffffff
    if (size > frame.maxBlockBytes) throw new Error('an LZ4 block is larger than its frame allows')
    const block = await feed.take(size)
    if (frame.blockChecksums && readUint32(await feed.take(4)) !== new Xxh32().update(block).digest())
      throw new Error('an LZ4 block does not match its checksum')
    let end = history
    if (word >>> 31 === 1) {
      window.set(block, history)
      end += size
    } else end = unpackBlock(block, window, history, history + frame.maxBlockBytes)
    const piece = window.slice(history, end)
    whole?.update(piece)
    unpacked += piece.length
    if (piece.length > 0) yield piece
    if (frame.linked) {
      const kept = Math.min(end, historyBytes)
      window.copyWithin(0, end - kept, end)
      history = kept
    }
  }
  if (whole !== undefined && readUint32(await feed.take(4)) !== whole.digest())
    throw new Error('an LZ4 frame does not match its checksum')
  if (frame.contentBytes !== undefined && frame.contentBytes !== BigInt(unpacked))
    throw new Error('an LZ4 frame has another size than it says')
}

async function readFrameHeader(feed: ByteFeed) {
  const head = await feed.take(2)
  const [flags = 0, blockDescriptor = 0] = head
  const contentSize = (flags & 8) !== 0
  const dictionary = (flags & 1) !== 0
  const more = await feed.take((contentSize ? 8 : 0) + (dictionary ? 4 : 0))
  const checksum = (await feed.take(1))[0]
  const maxBlockBytes = blockSizes[(blockDescriptor >> 4) & 7]
  if (flags >> 6 !== 1 || maxBlockBytes === undefined) throw new Error('an LZ4 frame has an unknown version')
  if (((new Xxh32().update(head).update(more).digest() >>> 8) & 0xff) !== checksum)
    throw new Error('the header of an LZ4 frame does not match its checksum')
  if (dictionary) throw new Error('the LZ4 frame needs a dictionary')
  return {
    maxBlockBytes,
    linked: (flags & 0x20) === 0,
    blockChecksums: (flags & 0x10) !== 0,
    contentChecksum: (flags & 4) !== 0,
    contentBytes: contentSize ? new DataView(more.buffer).getBigUint64(0, true) : undefined,
  }
}

/**
 * Unpacks a block (LZ4 block format) into `out` from `start`; matches may reach back before it. Returns where it ends.
 * @throws Error on malformed input, or when it would go beyond `limit`
 */
function unpackBlock(block: Uint8Array, out: Uint8Array, start: number, limit: number): number {
  let at = 0
  let to = start
  const length = (nibble: number): number => {
    let value = nibble
    if (nibble < 15) return value
    for (;;) {
      const more = block[at++]
      if (more === undefined || value > limit) throw new Error('an LZ4 block is malformed')
      value += more
      if (more < 255) return value
    }
  }
  while (at < block.length) {
    const token = block[at++] ?? 0
    const literals = length(token >> 4)
    if (at + literals > block.length || to + literals > limit) throw new Error('an LZ4 block is malformed')
    out.set(block.subarray(at, at + literals), to)
    at += literals
    to += literals
    if (at === block.length) return to
    const offset = (block[at] ?? 0) | ((block[at + 1] ?? 0) << 8)
    at += 2
    const match = length(token & 15) + minMatch
    if (at > block.length || offset === 0 || offset > to || to + match > limit)
      throw new Error('an LZ4 block is malformed')
    if (offset >= match) out.copyWithin(to, to - offset, to - offset + match)
    else for (let index = 0; index < match; index += 1) out[to + index] = out[to + index - offset] ?? 0
    to += match
  }
  return to
}

function readUint32(bytes: Uint8Array): number {
  return new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true)
}
