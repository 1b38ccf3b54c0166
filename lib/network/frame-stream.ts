import type { MessageStream } from '@libp2p/interface'
import { FrameDecoder, type FrameDecoderOptions } from './frames.ts'
import { isOver } from './stream-flow.ts'

/**
 * Reads the first frame of a stream and hands back what came after it, so that the stream can be used for something
 * else then. @throws StarlingError FRAME_TOO_LARGE; the signal's reason; Error where the stream ends before
 */
export function readFirstFrame(
  stream: MessageStream,
  options: { maxFrameSizeBytes: number; signal: AbortSignal },
): Promise<Uint8Array> {
  const decoder = new FrameDecoder(options)
  return readStream(stream, options.signal, (chunk) => {
    const [frame] = decoder.push(chunk, 1)
    if (frame === undefined) return undefined
    const rest = decoder.takeRest()
    return { value: frame, rest }
  })
}

/**
 * Reads frames up to the end mark. @throws StarlingError FRAME_TOO_LARGE, WIRE_MALFORMED; the signal's reason; Error
 * where the stream ends before
 */
export function readAllFrames(
  stream: MessageStream,
  options: FrameDecoderOptions & { signal: AbortSignal },
): Promise<Uint8Array[]> {
  const decoder = new FrameDecoder(options)
  const frames: Uint8Array[] = []
  return readStream(stream, options.signal, (chunk) => {
    frames.push(...decoder.push(chunk))
    return decoder.ended ? { value: frames } : undefined
  })
}

/** Feeds what arrives to `take` until it returns something. */
export function readStream<T>(
  stream: MessageStream,
  signal: AbortSignal,
  take: (chunk: Uint8Array) => { value: T; rest?: Uint8Array } | undefined,
): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const settle = (finish: () => void) => {
      stream.removeEventListener('message', onMessage)
      stream.removeEventListener('close', onEnd)
      stream.removeEventListener('remoteCloseWrite', onEnd)
      signal.removeEventListener('abort', onAbort)
      finish()
    }
    const onAbort = () => settle(() => reject(signal.reason))
    const onEnd = (event: Event) => {
      // What was received before the end is delivered after this event.
      if (event.type === 'remoteCloseWrite' && stream.readBufferLength > 0) return
      const error = 'error' in event && event.error instanceof Error ? event.error : undefined
      settle(() => reject(new Error('the other side closed the stream', { cause: error })))
    }
    const onMessage = (event: { data: { subarray(): Uint8Array } }) => {
      try {
        const taken = take(event.data.subarray())
        if (taken === undefined) return
        settle(() => resolve(taken.value))
        if (taken.rest !== undefined && taken.rest.length > 0) stream.unshift(taken.rest)
      } catch (error) {
        settle(() => reject(error))
      }
    }
    if (signal.aborted) return reject(signal.reason)
    if (isOver(stream) && stream.readBufferLength === 0) {
      return reject(new Error('the stream was closed already'))
    }
    stream.addEventListener('close', onEnd)
    stream.addEventListener('remoteCloseWrite', onEnd)
    signal.addEventListener('abort', onAbort)
    stream.addEventListener('message', onMessage)
  })
}
