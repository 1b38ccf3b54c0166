import type { IncomingMessage } from 'node:http'

export type BodyEnd = 'ended' | 'broken' | 'stalled' | 'cancelled'

export interface BodyReading {
  /** Returns false where the receiver wants no more until `drained` resolves. */
  readonly onChunk: (chunk: Buffer) => boolean
  readonly drained: () => Promise<void>
  /** No byte for this long is a stall; the time that the receiver makes us wait does not count. */
  readonly stallTimeoutMs: number
  readonly signal: AbortSignal
}

/**
 * Reads the body of an answer with back-pressure. Always settles, and frees the connection: it is kept only after `ended`.
 * An answer that has fewer bytes than its `Content-Length` is `broken`.
 */
export function readBody(message: IncomingMessage, reading: BodyReading): Promise<BodyEnd> {
  const { onChunk, drained, stallTimeoutMs, signal } = reading
  return new Promise((resolve) => {
    let settled = false
    const settle = (end: BodyEnd): void => {
      if (settled) return
      settled = true
      clearTimeout(timer)
      signal.removeEventListener('abort', cancel)
      if (end !== 'ended') message.destroy()
      resolve(end)
    }
    const cancel = (): void => settle('cancelled')
    let timer = setTimeout(() => settle('stalled'), stallTimeoutMs)
    signal.addEventListener('abort', cancel, { once: true })
    message.on('data', (chunk: Buffer) => {
      if (settled) return
      if (onChunk(chunk)) {
        timer.refresh()
        return
      }
      clearTimeout(timer)
      message.pause()
      void drained().then(() => {
        if (settled) return
        timer = setTimeout(() => settle('stalled'), stallTimeoutMs)
        message.resume()
      })
    })
    message.on('end', () => settle(message.complete ? 'ended' : 'broken'))
    message.on('error', () => settle('broken'))
    message.on('close', () => settle('broken'))
    if (signal.aborted) cancel()
  })
}

const maxDiscardedSizeBytes = 16_384

/**
 * Gets rid of an answer that nobody wants; one with a short body, or to HEAD, is read to its end, so that the connection can
 * be kept.
 */
export function discardBody(message: IncomingMessage, hasBody = true): void {
  message.on('error', () => {})
  const length = Number(message.headers['content-length'] ?? Number.NaN)
  if (!hasBody || length <= maxDiscardedSizeBytes) message.resume()
  else message.destroy()
}
