import { createHash } from 'node:crypto'
import type { Digest } from '../../core/digest.ts'
import { StarlingError } from '../../core/errors.ts'
import type { MirrorClient } from './mirror-client.ts'

export interface Wanted {
  /** Path and query. */
  readonly path: string
  readonly digest: Digest
  /** Undefined: as many as the mirror says. */
  readonly sizeBytes: number | undefined
  /** What it is, for messages: `the layer sha256:…`. */
  readonly what: string
  /** A name for each request. */
  readonly nextId?: (() => string) | undefined
}

/** Requests in a row that bring nothing, after which containerd gives a pull up (CONTAINERD.md, "Broken bodies"). */
const maxFruitless = 4

/**
 * The bytes of a manifest or blob from the mirror. A body that ends early goes on with a Range request, as containerd's do;
 * the digest is checked at the end.
 * @throws StarlingError NOT_FOUND where the mirror does not have it, or the bytes are wrong; PEER_UNREACHABLE
 */
export async function* download(
  mirror: Pick<MirrorClient, 'ask'>,
  wanted: Wanted,
): AsyncGenerator<Uint8Array> {
  const { path, digest, what, nextId } = wanted
  const hash = createHash('sha256')
  let { sizeBytes } = wanted
  let received = 0
  for (let fruitless = 0; ; ) {
    const answer = await mirror.ask({ path, method: 'GET', id: nextId?.(), fromByte: received })
    if (!answer.ok) throw unavailable(what, answer.reason)
    const announced = received + Number(answer.headers['content-length'] ?? Number.NaN)
    sizeBytes ??= announced
    if (announced !== sizeBytes) {
      answer.body.destroy()
      throw unavailable(what, `it should have ${sizeBytes} bytes, and the mirror has ${announced}`)
    }
    const before = received
    try {
      for await (const chunk of answer.body as AsyncIterable<Buffer>) {
        received += chunk.length
        hash.update(chunk)
        yield chunk
      }
    } catch {
      // Ended early; what is missing is asked for next.
    }
    if (received >= sizeBytes) break
    fruitless = received > before ? 0 : fruitless + 1
    if (fruitless === maxFruitless) throw unavailable(what, 'the mirror begins answers and sends no byte')
  }
  const found = `sha256:${hash.digest('hex')}`
  if (found !== digest) throw unavailable(what, `its bytes have digest ${found}`)
}

export function unavailable(what: string, reason: string): StarlingError {
  return new StarlingError('NOT_FOUND', `${what} is not available: ${reason}`)
}
