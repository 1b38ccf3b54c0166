import { setTimeout as delay } from 'node:timers/promises'
import { type ByteRange, parseRangeHeader } from '../../core/byte-range.ts'
import type { GrowingBlob } from '../../core/content-store.ts'
import type { Digest } from '../../core/digest.ts'
import { describeError } from '../../core/errors.ts'
import { beginBody, finishBody, unsatisfiable } from '../blob-answer.ts'
import type { Exchange, Found, RegistryServices } from '../exchange.ts'
import { Growth } from './growth.ts'

/** A download that is on its way according to the control plane, and not in the store yet, is waited for this long. */
const appearMs = 2000
const appearPollMs = 50

/**
 * Gives a peer what this node is downloading itself, as it grows; bytes that are not there yet are waited for. They are
 * unverified: the follower's containerd checks the whole, as it does with upstream. A download that is given up, or stands still
 * for too long, ends the body by FIN.
 */
export async function serveGrowing(
  exchange: Exchange,
  services: RegistryServices,
  found: Found,
  header: string | undefined,
): Promise<void> {
  const blob = await appear(exchange, services, found.digest)
  if (blob === undefined) {
    notHere(exchange, found, 'its download has not begun, or is over')
    return
  }
  try {
    await send(exchange, services, found, new Growth(blob, services), header)
  } finally {
    await blob.close()
  }
}

/** Waits until the blob is committed here; false where its download was given up, or takes too long. */
export async function isCommitted(
  exchange: Exchange,
  services: RegistryServices,
  digest: Digest,
): Promise<boolean> {
  const blob = await appear(exchange, services, digest)
  if (blob === undefined) return false
  try {
    const growth = new Growth(blob, services)
    return await growth.until(exchange.out.signal, ({ state }) => state === 'done')
  } catch {
    return false
  } finally {
    await blob.close()
  }
}

async function appear(
  { out: { signal } }: Exchange,
  { store, now }: RegistryServices,
  digest: Digest,
): Promise<GrowingBlob | undefined> {
  const untilMs = now() + appearMs
  for (;;) {
    const blob = await store.openGrowing(digest).catch(() => undefined)
    if (blob !== undefined || now() >= untilMs || signal.aborted) return blob
    await delay(appearPollMs)
  }
}

async function send(
  exchange: Exchange,
  services: RegistryServices,
  found: Found,
  growth: Growth,
  header: string | undefined,
): Promise<void> {
  const { out } = exchange
  const { digest } = found
  let range: ByteRange | undefined
  try {
    const ready = await growth.until(out.signal, ({ state, sizeBytes, reachedBytes }) => {
      if (sizeBytes === undefined || state === 'gone') return false
      const asked = parseRangeHeader(header, sizeBytes)
      return (
        asked === 'unsatisfiable' || state === 'done' || reachedBytes > (asked === 'whole' ? 0 : asked.start)
      )
    })
    const { sizeBytes } = growth.seen
    if (!ready || sizeBytes === undefined) {
      notHere(exchange, found, 'its download was given up, or stands still')
      return
    }
    const asked = parseRangeHeader(header, sizeBytes)
    if (asked === 'unsatisfiable') {
      unsatisfiable(exchange, sizeBytes)
      return
    }
    range = asked === 'whole' ? { start: 0, end: sizeBytes - 1 } : asked
    exchange.source = 'local'
    exchange.reason = 'from the download of this node, in flight'
    beginBody(exchange, digest, sizeBytes, range, asked !== 'whole')
    await stream(exchange, services, growth, range)
  } catch (error) {
    exchange.reason = `the local store failed: ${describeError(error)}`
    if (!out.headSent) {
      exchange.fail({ status: 503, code: 'UNAVAILABLE', message: exchange.reason })
      return
    }
  }
  finishBody(exchange)
}

async function stream(
  { out }: Exchange,
  { pool }: RegistryServices,
  growth: Growth,
  range: ByteRange,
): Promise<void> {
  let writing: Promise<void> = Promise.resolve()
  let offset = range.start
  while (offset <= range.end && !out.signal.aborted) {
    if (!(await growth.until(out.signal, ({ reachedBytes }) => reachedBytes > offset))) break
    const buffer = pool.take()
    const room = Math.min(buffer.length, range.end + 1 - offset, growth.seen.reachedBytes - offset)
    // A read that fails may still come and write into the buffer: it is not given back.
    const count = await growth.blob.read(buffer.subarray(0, room), offset)
    if (count === 0) {
      pool.give(buffer)
      break
    }
    await writing
    offset += count
    writing = out.writeReused(buffer.subarray(0, count)).then(() => {
      // When the client is gone, the connection may still hold the bytes.
      if (!out.signal.aborted) pool.give(buffer)
    })
  }
  await writing
}

function notHere(exchange: Exchange, { digest, registry }: Found, why: string): void {
  exchange.fail({
    status: 404,
    code: 'BLOB_UNKNOWN',
    message: `this node does not hold ${digest} of ${registry}: ${why}`,
  })
}
