import { Duplex } from 'node:stream'
import type { MessageStream } from '@libp2p/interface'
import { unlessEnded } from './protected-stream.ts'

type Written = (error?: Error | null) => void

/** A libp2p stream as a stream of Node, for `node:tls`; flow control works through it in both directions. */
export class StreamDuplex extends Duplex {
  readonly #below: MessageStream

  constructor(below: MessageStream) {
    super()
    this.#below = below
    unlessEnded(() => below.pause())
    below.addEventListener('message', ({ data }) => {
      let wantsMore = true
      for (const chunk of data instanceof Uint8Array ? [data] : data) wantsMore = this.push(chunk)
      if (!wantsMore) unlessEnded(() => below.pause())
    })
    below.addEventListener('close', ({ error }) => {
      this.destroy(error)
    })
  }

  override _read(): void {
    unlessEnded(() => this.#below.resume())
  }

  override _write(chunk: Uint8Array, _encoding: string, done: Written): void {
    let hasRoom: boolean
    try {
      hasRoom = this.#below.send(chunk)
    } catch (error) {
      done(error instanceof Error ? error : new Error(String(error)))
      return
    }
    if (hasRoom) done()
    else this.#whenDrained(done)
  }

  override _final(done: Written): void {
    this.#below.close().then(() => done(), done)
  }

  #whenDrained(done: Written): void {
    const below = this.#below
    const settle = (error?: Error) => {
      below.removeEventListener('drain', onDrain)
      below.removeEventListener('close', onClose)
      done(error)
    }
    const onDrain = () => settle()
    const onClose = () => settle(new Error('the connection was closed'))
    below.addEventListener('drain', onDrain)
    below.addEventListener('close', onClose)
  }
}
