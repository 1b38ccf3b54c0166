import type { AbortOptions, MessageStream, MultiaddrConnection } from '@libp2p/interface'
import { AbstractMessageStream, type SendResult } from '@libp2p/utils'
import { describeAddress } from './multiaddrs.ts'

type Bytes = Parameters<AbstractMessageStream['sendData']>[0]

/** Turns bytes of one direction into other bytes of the same number, in order. */
export interface StreamCipher {
  update(chunk: Uint8Array): Uint8Array
}

/** A stream whose bytes pass through a cipher each way; flow control and closing are those of the stream below. */
export class ProtectedStream extends AbstractMessageStream {
  /** Address of the other side, for logs. */
  readonly remote: string
  /** Set by the next gate; a stream that ends without it never got that far. */
  claimed = false
  readonly #below: MessageStream
  readonly #sealing: StreamCipher

  /** `opening` may already have been used for bytes that came earlier. */
  constructor(below: MessageStream, ciphers: { sealing: StreamCipher; opening: StreamCipher }) {
    super({
      log: below.log,
      direction: below.direction,
      inactivityTimeout: below.inactivityTimeout,
      maxReadBufferLength: below.maxReadBufferLength,
    })
    this.remote = remoteOf(below)
    this.#below = below
    this.#sealing = ciphers.sealing
    below.addEventListener('message', (event) => {
      this.onData(ciphers.opening.update(event.data.subarray()))
    })
    below.addEventListener('drain', () => {
      this.safeDispatchEvent('drain')
    })
    below.addEventListener('close', (event) => {
      if (event.error === undefined) this.onTransportClosed()
      else if (event.local === true) this.abort(event.error)
      else this.onRemoteReset()
    })
  }

  /** Waits until what was sent has left, then closes the stream below. */
  async close(options?: AbortOptions): Promise<void> {
    if (this.status !== 'open') return
    this.status = 'closing'
    this.writeStatus = 'closing'
    while (this.writeBufferLength > 0 && this.#below.status === 'open') {
      await new Promise<void>((resolve, reject) => {
        const settle = () => {
          options?.signal?.removeEventListener('abort', fail)
          resolve()
        }
        const fail = () => reject(options?.signal?.reason)
        this.addEventListener('idle', settle, { once: true })
        this.addEventListener('close', settle, { once: true })
        options?.signal?.addEventListener('abort', fail, { once: true })
      })
    }
    await this.#below.close(options)
    this.onTransportClosed()
  }

  sendData(data: Bytes): SendResult {
    const sentBytes = data.byteLength
    return { sentBytes, canSendMore: this.#below.send(this.#sealing.update(data.subarray())) }
  }

  sendReset(error: Error): void {
    this.#below.abort(error)
  }

  sendPause(): void {
    unlessEnded(() => this.#below.pause())
  }

  sendResume(): void {
    unlessEnded(() => this.#below.resume())
  }
}

/** Pausing a stream whose readable end is closed throws; there is nothing to pause then. */
function unlessEnded(action: () => void): void {
  try {
    action()
  } catch (error) {
    if (!(error instanceof Error) || error.name !== 'StreamStateError') throw error
  }
}

/** `10.0.0.1:40312`: where a connection, or a protected stream on top of one, leads to; for logs. */
export function remoteOf(stream: MessageStream): string {
  if (stream instanceof ProtectedStream) return stream.remote
  return 'remoteAddr' in stream ? describeAddress((stream as MultiaddrConnection).remoteAddr) : 'unknown'
}
