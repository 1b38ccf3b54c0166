import { once } from 'node:events'
import type { TLSSocket } from 'node:tls'
import type { AbortOptions, MessageStream } from '@libp2p/interface'
import { AbstractMessageStream, type SendResult } from '@libp2p/utils'
import { whenSent } from './protected-stream.ts'

type Bytes = Parameters<AbstractMessageStream['sendData']>[0]

/** What is inside TLS, as a libp2p stream; it ends when the stream below does, and in the same way. */
export class TlsStream extends AbstractMessageStream {
  readonly #below: MessageStream
  readonly #socket: TLSSocket

  /** `socket` runs over `below`, and its handshake is done. */
  constructor(below: MessageStream, socket: TLSSocket) {
    super({
      log: below.log,
      direction: below.direction,
      inactivityTimeout: below.inactivityTimeout,
      maxReadBufferLength: below.maxReadBufferLength,
    })
    this.#below = below
    this.#socket = socket
    socket.on('data', (chunk: Uint8Array) => this.onData(chunk))
    socket.on('drain', () => this.safeDispatchEvent('drain'))
    socket.on('close', () => {
      below.close().catch((error) => below.abort(error))
    })
    below.addEventListener('close', (event) => {
      socket.destroy()
      if (event.error === undefined) this.onTransportClosed()
      else if (event.local === true) this.abort(event.error)
      else this.onRemoteReset()
    })
  }

  /** Waits until what was sent has left, says goodbye as TLS has it, then closes the stream below. */
  async close(options?: AbortOptions): Promise<void> {
    if (this.status !== 'open') return
    this.status = 'closing'
    this.writeStatus = 'closing'
    await whenSent(this, this.#below, options?.signal)
    if (!this.#socket.closed) {
      const closed = once(
        this.#socket,
        'close',
        options?.signal === undefined ? {} : { signal: options.signal },
      )
      this.#socket.destroySoon()
      await closed
    }
    await this.#below.close(options)
    this.onTransportClosed()
  }

  sendData(data: Bytes): SendResult {
    return { sentBytes: data.byteLength, canSendMore: this.#socket.write(data.subarray()) }
  }

  sendReset(error: Error): void {
    this.#socket.destroy()
    this.#below.abort(error)
  }

  sendPause(): void {
    this.#socket.pause()
  }

  sendResume(): void {
    this.#socket.resume()
  }
}
