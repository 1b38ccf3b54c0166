import { type ByteRange, parseRangeHeader } from '../../core/byte-range.ts'
import type { Digest } from '../../core/digest.ts'
import { describeError } from '../../core/errors.ts'
import { beginBody, finishBody, unsatisfiable } from '../blob-answer.ts'
import type { Exchange, Found, RegistryServices } from '../exchange.ts'
import { Growth } from './growth.ts'

/** So often in a row bytes may be gone that were seen a moment ago. */
const maxMisses = 3

/**
 * Gives a peer what this node is downloading itself, as it grows or passes; bytes that are not there yet are waited for. They are
 * unverified: the follower's containerd checks the whole, as it does with upstream. A download that is given up, or stands still
 * for too long, ends the body by FIN.
 */
export async function serveGrowing(
  exchange: Exchange,
  services: RegistryServices,
  found: Found,
  header: string | undefined,
): Promise<void> {
  const growth = new Growth(found.digest, services)
  try {
    await send(exchange, services, found, growth, header)
  } finally {
    for (const from of ['memory', 'file'] as const) {
      const bytes = growth.readBytes[from]
      if (bytes > 0) services.metrics.count('starling_flight_given_bytes_total', { from }, bytes)
    }
    await growth.close()
  }
}

/** Waits until the blob is committed here; false where its download was given up, or takes too long. */
export async function isCommitted(
  exchange: Exchange,
  services: RegistryServices,
  digest: Digest,
): Promise<boolean> {
  const growth = new Growth(digest, services)
  try {
    return await growth.until(
      exchange.out.signal,
      () => 0,
      () => growth.done,
    )
  } catch {
    return false
  } finally {
    await growth.close()
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
    const askedOf = (sizeBytes: number | undefined) =>
      sizeBytes === undefined ? undefined : parseRangeHeader(header, sizeBytes)
    const at = (): number => {
      const asked = askedOf(growth.sizeBytes)
      return typeof asked === 'object' ? asked.start : 0
    }
    const ready = await growth.until(out.signal, at, () => {
      if (growth.sizeBytes === undefined || growth.gone) return false
      return growth.done || askedOf(growth.sizeBytes) === 'unsatisfiable' || growth.reachedFrom(at()) > at()
    })
    const { sizeBytes } = growth
    if (!ready || sizeBytes === undefined) {
      notHere(exchange, found, 'its download has not begun, was given up, or stands still')
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
  let misses = 0
  while (offset <= range.end && !out.signal.aborted) {
    const from = offset
    let reached = from
    const isThere = await growth.until(
      out.signal,
      () => from,
      () => {
        reached = growth.reachedFrom(from)
        return reached > from
      },
    )
    if (!isThere) break
    const buffer = pool.take()
    const room = Math.min(buffer.length, range.end + 1 - from, reached - from)
    // A read that fails may still come and write into the buffer: it is not given back.
    const count = await growth.read(buffer.subarray(0, room), from)
    if (count === 0) {
      pool.give(buffer)
      // What has passed too long ago is in the file, a moment later.
      if (misses++ < maxMisses) continue
      break
    }
    misses = 0
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
