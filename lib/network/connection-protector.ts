import { createCipheriv, randomBytes } from 'node:crypto'
import type { AbortOptions, ConnectionProtector, MessageStream } from '@libp2p/interface'
import type { Credentials } from '../core/credentials.ts'
import {
  deriveStreamKeys,
  makeDialerPreamble,
  makeListenerPreamble,
  preambleSaltSizeBytes,
  preambleSizeBytes,
  readDialerPreamble,
  readListenerPreamble,
  type StreamKey,
  type StreamKeys,
} from '../trust/stream-preamble.ts'
import { within } from './deadline.ts'
import { readStream } from './frame-stream.ts'
import { ProtectedStream, remoteOf, type StreamCipher } from './protected-stream.ts'
import type { Refusals } from './refusals.ts'

const preambleTimeoutMs = 3_000

class PreambleError extends Error {
  readonly reason: string

  constructor(reason: string, message: string, cause?: unknown) {
    super(message, { cause })
    this.reason = reason
  }
}

/**
 * Gate 1 of the p2p port (DESIGN §7): both ends prove that they know a PSK of the keyring with their first bytes, then
 * all is encrypted with keys of this connection alone. Who does not know it gets no byte. A connection that is
 * protected already keeps its stream: inbound ones are before libp2p's upgrader sees them.
 */
export function connectionProtector(options: {
  credentials: Credentials
  refusals: Refusals
  timeoutMs?: number
}): () => ConnectionProtector {
  const { credentials, refusals, timeoutMs = preambleTimeoutMs } = options
  const known = new WeakMap<MessageStream, ProtectedStream>()
  return () => ({
    async protect(connection: MessageStream, { signal }: AbortOptions = {}): Promise<MessageStream> {
      const stream = known.get(connection)
      if (stream !== undefined) return stream
      const show = connection.direction === 'outbound' ? dial : listen
      try {
        const made = await within(timeoutMs, [signal], (bounded) => show(connection, credentials, bounded))
        known.set(connection, made)
        made.addEventListener('close', () => {
          const { direction, remote, claimed } = made
          if (!claimed) refusals.refuse('tls', 'no-handshake', { remote, direction })
        })
        return made
      } catch (error) {
        const { direction } = connection
        const reason = error instanceof PreambleError ? error.reason : 'failed'
        const detail = error instanceof Error ? error.message : String(error)
        refusals.refuse('psk', reason, { remote: remoteOf(connection), direction, detail })
        throw error
      }
    },
  })
}

async function dial(
  connection: MessageStream,
  credentials: Credentials,
  signal: AbortSignal,
): Promise<ProtectedStream> {
  const [psk] = credentials.current().keyring
  const salt = randomBytes(preambleSaltSizeBytes)
  connection.send(makeDialerPreamble(psk, salt))
  const answer = await readPreamble(connection, signal)
  const listenerSalt = readListenerPreamble(psk, salt, answer)
  if (listenerSalt === undefined) {
    throw new PreambleError('wrong-key', 'the listener has not proved that it knows the PSK')
  }
  const keys = deriveStreamKeys(psk, salt, listenerSalt)
  return protect(connection, keys.dialerToListener, keys.listenerToDialer)
}

async function listen(
  connection: MessageStream,
  credentials: Credentials,
  signal: AbortSignal,
): Promise<ProtectedStream> {
  const received = await readPreamble(connection, signal)
  const meant = readDialerPreamble(credentials.current().keyring, received)
  if (meant === undefined) throw new PreambleError('wrong-key', 'its first bytes fit no PSK of the keyring')
  const salt = randomBytes(preambleSaltSizeBytes)
  connection.send(makeListenerPreamble(meant.psk, meant.salt, salt))
  const keys: StreamKeys = deriveStreamKeys(meant.psk, meant.salt, salt)
  return protect(connection, keys.listenerToDialer, keys.dialerToListener)
}

function protect(connection: MessageStream, sealing: StreamKey, opening: StreamKey): ProtectedStream {
  return new ProtectedStream(connection, { sealing: cipher(sealing), opening: cipher(opening) })
}

/** In counter mode, sealing and opening are the same operation (NIST SP 800-38A §6.5). */
function cipher({ key, iv }: StreamKey): StreamCipher {
  return createCipheriv('aes-256-ctr', key, iv)
}

async function readPreamble(connection: MessageStream, signal: AbortSignal): Promise<Uint8Array> {
  let received: Uint8Array = new Uint8Array()
  try {
    return await readStream(connection, signal, (chunk) => {
      received = received.length === 0 ? chunk : Buffer.concat([received, chunk])
      if (received.length < preambleSizeBytes) return undefined
      return { value: received.subarray(0, preambleSizeBytes), rest: received.subarray(preambleSizeBytes) }
    })
  } catch (error) {
    if (!signal.aborted) {
      // Membership asks with a bare TCP connect whether a silent node's port is open (DESIGN §4).
      const isBare = connection.direction === 'inbound' && received.length === 0
      if (isBare) throw new PreambleError('empty', 'it closed the connection without a byte', error)
      const hint = connection.direction === 'outbound' ? '; its PSK may be another' : ''
      throw new PreambleError('closed', `it closed the connection before it showed a PSK${hint}`, error)
    }
    throw new PreambleError('silent', 'it did not show a PSK in time', error)
  }
}
