import { createHash } from 'node:crypto'
import type { ClientDuplexStream } from '@grpc/grpc-js'
import type { Digest } from '../core/digest.ts'
import { StarlingError } from '../core/errors.ts'
import type { StoredBlob } from '../core/image-writer.ts'
import { type ContainerdClient, isAlreadyThere, toUnavailable } from './client.ts'
import type { WriteMessage } from './protocol.ts'

const stepBytes = 2 ** 17
const stepTimeoutMs = 60_000

type WriteStream = ClientDuplexStream<WriteMessage, { offset: number; digest: string }>

/**
 * Writes a blob of a digest that is not known yet, 128 KiB at a time; the next one leaves when containerd has the last.
 * @throws StarlingError STORE_UNAVAILABLE, DISK_FULL, and what `source` throws
 */
export async function writeBlob(
  client: ContainerdClient,
  place: { readonly namespace: string; readonly lease: string; readonly ref: string },
  source: AsyncIterable<Uint8Array>,
): Promise<StoredBlob> {
  const { ref } = place
  const hash = createHash('sha256')
  const stream = client.write(place.namespace, place.lease)
  const answers = stream[Symbol.asyncIterator]()
  let offset = 0
  try {
    await step(stream, answers, { action: 0, ref })
    const send = async (data: Uint8Array): Promise<void> => {
      hash.update(data)
      await step(stream, answers, { action: 1, ref, offset, data })
      offset += data.length
    }
    // Free again with each answer: what was sent is a copy.
    const buffer = new Uint8Array(stepBytes)
    let filled = 0
    for await (const piece of source) {
      for (let at = 0; at < piece.length; ) {
        const part = piece.subarray(at, at + stepBytes - filled)
        buffer.set(part, filled)
        filled += part.length
        at += part.length
        if (filled < stepBytes) continue
        await send(buffer)
        filled = 0
      }
    }
    if (filled > 0) await send(buffer.subarray(0, filled))
    const digest = `sha256:${hash.digest('hex')}` as Digest
    try {
      await step(stream, answers, { action: 2, ref, offset, total: offset, expected: digest })
    } catch (error) {
      // Containerd holds it for our lease all the same.
      if (!(error instanceof StarlingError && isAlreadyThere(error.cause))) throw error
    }
    return { digest, sizeBytes: offset }
  } finally {
    stream.end()
    stream.cancel()
  }
}

async function step(
  stream: WriteStream,
  answers: AsyncIterator<unknown>,
  message: WriteMessage,
): Promise<void> {
  const timer = setTimeout(() => stream.cancel(), stepTimeoutMs)
  try {
    stream.write(message)
    const answer = await answers.next()
    if (answer.done === true) throw new Error('the stream ended')
  } catch (error) {
    const unavailable = toUnavailable(error)
    if (!/no space left|disk quota/i.test(unavailable.message)) throw unavailable
    throw new StarlingError('DISK_FULL', 'no room in the content store of containerd', {
      hint: 'free some space',
      cause: error,
    })
  } finally {
    clearTimeout(timer)
  }
}
