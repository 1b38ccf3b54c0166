import type { IncomingMessage } from 'node:http'

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
