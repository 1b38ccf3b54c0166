import type { ByteRange } from '../core/byte-range.ts'
import { rangeLength } from '../core/byte-range.ts'
import type { BufferPool } from './buffer-pool.ts'
import type { ClientResponse } from './client-response.ts'
import type { LocalBlob } from './local-store.ts'

export interface LocalSending {
  readonly blob: LocalBlob
  readonly range: ByteRange
  readonly out: ClientResponse
  readonly pool: BufferPool
  /** Called once, when the first bytes are in hand. */
  readonly begin: () => void
}

/**
 * Sends a range of a local blob: positioned reads into reused buffers, the next read while the last one is written.
 * Resolves with the offset that was reached; one before the end of the range means that the store gave no more, or that the
 * client is gone. Before `begin` was called nothing has been sent.
 */
export async function sendLocalBlob(sending: LocalSending): Promise<number> {
  const { blob, range, out, pool, begin } = sending
  let offset = range.start
  let writing: Promise<void> = Promise.resolve()
  if (rangeLength(range) === 0) begin()
  while (offset <= range.end && !out.signal.aborted) {
    const buffer = pool.take()
    let count: number
    try {
      count = await blob.read(buffer.subarray(0, Math.min(buffer.length, range.end - offset + 1)), offset)
    } catch {
      // The read may still come and write into the buffer: it is not given back.
      break
    }
    if (count === 0 || out.signal.aborted) {
      pool.give(buffer)
      break
    }
    if (!out.headSent) begin()
    await writing
    offset += count
    writing = out.writeReused(buffer.subarray(0, count)).then(() => {
      // When the client is gone, the connection may still hold the bytes.
      if (!out.signal.aborted) pool.give(buffer)
    })
  }
  await writing
  return offset
}
