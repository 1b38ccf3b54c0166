import type { MessageStream } from '@libp2p/interface'

/**
 * Waits until at most `maxBufferedBytes` that were sent are still held here. The stream's own `onDrain` is not used:
 * once it has resolved it resolves for ever (libp2p 3.3), so a second slow phase would not be noticed.
 * @throws the signal's reason, or an error when the stream closes
 */
export async function whenDrained(
  stream: MessageStream,
  maxBufferedBytes: number,
  signal: AbortSignal,
): Promise<void> {
  while (stream.writeBufferLength > maxBufferedBytes) {
    signal.throwIfAborted()
    if (isOver(stream)) throw new Error('the stream was closed')
    await nextEvent(stream, signal)
  }
  signal.throwIfAborted()
}

/** Can nothing be sent or received any more? */
export function isOver(stream: MessageStream): boolean {
  return stream.status === 'closed' || stream.status === 'aborted' || stream.status === 'reset'
}

function nextEvent(stream: MessageStream, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const settle = () => {
      stream.removeEventListener('drain', settle)
      stream.removeEventListener('idle', settle)
      stream.removeEventListener('close', settle)
      signal.removeEventListener('abort', settle)
      resolve()
    }
    stream.addEventListener('drain', settle)
    stream.addEventListener('idle', settle)
    stream.addEventListener('close', settle)
    signal.addEventListener('abort', settle)
  })
}
