import { createHash, hash } from 'node:crypto'
import type { ByteRange } from '../core/byte-range.ts'
import { rangeLength } from '../core/byte-range.ts'
import type { Digest } from '../core/digest.ts'
import { heldTailSizeBytes } from './body-check.ts'
import type { BufferPool } from './buffer-pool.ts'
import type { LocalIntegrity } from './chunk-maps/local-integrity.ts'
import { blockIsRight, blockSizeBytes, type LocalMap } from './chunk-maps/local-map.ts'
import type { ClientResponse } from './client-response.ts'
import type { HotBlobs } from './hot-blobs.ts'
import type { LocalBlob } from './local-store.ts'

export interface LocalSending {
  readonly digest: Digest
  readonly blob: LocalBlob
  readonly range: ByteRange
  readonly out: ClientResponse
  /** Its buffers have the size of a block. */
  readonly pool: BufferPool
  readonly hot: HotBlobs
  /** Undefined where nothing is checked. */
  readonly integrity: LocalIntegrity | undefined
  /** Called once, when the first bytes are in hand. */
  readonly begin: () => void
}

export interface LocalSent {
  /** Offset of the next byte; one before the end of the range means that there is no more here, or the client is gone. */
  readonly reached: number
  /** The bytes from there on are not those of the digest. */
  readonly damaged: boolean
}

/**
 * Sends a range of a local blob, and no byte that is known to be wrong: each block is held against the blob's own map before it
 * leaves. Positioned reads into reused buffers, the next read while the last one is written. Before `begin` was called
 * nothing has been sent.
 */
export async function sendLocalBlob(sending: LocalSending): Promise<LocalSent> {
  const { digest, blob, range, out, integrity, begin } = sending
  if (rangeLength(range) === 0) begin()
  if (blob.sizeBytes <= blockSizeBytes && rangeLength(range) > 0) return sendSmall(sending)
  if (integrity === undefined || rangeLength(range) === 0) return sendBlocks(sending, undefined, undefined)
  const guard = await integrity.guard(digest, blob)
  switch (guard.kind) {
    case 'bytes':
      integrity.count('whole')
      if (out.signal.aborted) return { reached: range.start, damaged: false }
      begin()
      await out.writeReused(guard.bytes.subarray(range.start, range.end + 1))
      return { reached: range.end + 1, damaged: false }
    case 'map':
      integrity.count('map')
      return sendBlocks(sending, guard.local, undefined)
    case 'none': {
      const whole = rangeLength(range) === blob.sizeBytes
      integrity.count(whole ? 'held-tail' : 'unchecked')
      return sendBlocks(sending, undefined, whole ? blob.sizeBytes - heldTailSizeBytes : undefined)
    }
    case 'damaged':
      integrity.damaged(digest)
      return { reached: range.start, damaged: true }
    default:
      return { reached: range.start, damaged: false }
  }
}

/** A blob that fits into one buffer is read whole, and held against its digest. */
async function sendSmall(sending: LocalSending): Promise<LocalSent> {
  const { digest, blob, range, out, pool, hot, integrity, begin } = sending
  const { stamp, sizeBytes } = blob
  const known = hot.get(digest)
  if (known?.stamp === stamp && known.bytes.length === sizeBytes && (known.checked || !integrity)) {
    integrity?.count('whole')
    begin()
    await out.writeReused(known.bytes.subarray(range.start, range.end + 1))
    return { reached: range.end + 1, damaged: false }
  }
  const buffer = pool.take()
  const bytes = buffer.subarray(0, sizeBytes)
  let isShort = false
  try {
    isShort = (await readFully(blob, bytes, 0)) < sizeBytes
  } catch {
    // The read may still come and write into the buffer: it is not given back.
    return { reached: range.start, damaged: false }
  }
  const damaged = integrity !== undefined && (isShort || `sha256:${hash('sha256', bytes)}` !== digest)
  if (damaged) integrity.damaged(digest)
  else integrity?.count('whole')
  const sends = !damaged && !isShort && !out.signal.aborted
  if (sends) {
    hot.put(digest, { bytes, stamp, checked: integrity !== undefined })
    begin()
    await out.writeReused(bytes.subarray(range.start, range.end + 1))
  }
  // When the client is gone, the connection may still hold the bytes.
  if (!out.signal.aborted) pool.give(buffer)
  return { reached: sends ? range.end + 1 : range.start, damaged }
}

/** `holdFrom`: the whole is hashed as it leaves, and what comes after this offset only once the digest is right. */
async function sendBlocks(
  sending: LocalSending,
  map: LocalMap | undefined,
  holdFrom: number | undefined,
): Promise<LocalSent> {
  const { digest, blob, range, out, pool, integrity, begin } = sending
  const hash = holdFrom === undefined ? undefined : createHash('sha256')
  const held: Uint8Array[] = []
  let offset = range.start
  let damaged = false
  let writing: Promise<void> = Promise.resolve()
  while (offset <= range.end && !out.signal.aborted) {
    const blockStart = offset - (offset % blockSizeBytes)
    const from = map === undefined ? offset : blockStart
    const limit = map === undefined ? range.end + 1 : blob.sizeBytes
    const buffer = pool.take()
    let count: number
    try {
      count = await readFully(blob, buffer.subarray(0, Math.min(blockSizeBytes, limit - from)), from)
    } catch {
      // The read may still come and write into the buffer: it is not given back.
      break
    }
    const block = buffer.subarray(0, count)
    if (map !== undefined && !blockIsRight(map, blockStart / blockSizeBytes, block)) damaged = true
    if (count === 0 || damaged || out.signal.aborted) {
      pool.give(buffer)
      break
    }
    hash?.update(block)
    const end = Math.min(from + count, range.end + 1)
    if (holdFrom !== undefined && end > holdFrom) {
      // Few bytes, copied, so that buffers are not kept while the rest is hashed.
      const cut = Math.max(offset, holdFrom)
      held.push(Uint8Array.from(block.subarray(cut - from, end - from)))
    }
    const sendEnd = holdFrom === undefined ? end : Math.min(end, Math.max(offset, holdFrom))
    if (!out.headSent) begin()
    await writing
    const chunk = block.subarray(offset - from, sendEnd - from)
    offset = end
    writing = out.writeReused(chunk).then(() => {
      // When the client is gone, the connection may still hold the bytes.
      if (!out.signal.aborted) pool.give(buffer)
    })
  }
  await writing
  if (hash !== undefined && offset > range.end && `sha256:${hash.digest('hex')}` !== digest) damaged = true
  if (damaged) integrity?.damaged(digest)
  if (holdFrom !== undefined && offset > holdFrom) {
    if (damaged || offset <= range.end) return { reached: holdFrom, damaged }
    for (const part of held) await out.writeReused(part)
  }
  return { reached: offset, damaged }
}

async function readFully(blob: LocalBlob, target: Uint8Array, offset: number): Promise<number> {
  let filled = 0
  while (filled < target.length) {
    const count = await blob.read(target.subarray(filled), offset + filled)
    if (count === 0) break
    filled += count
  }
  return filled
}
