import type { Socket } from 'node:net'
import { lingeringEnd } from './lingering-end.ts'

/** A connection that was accepted so lately has its first request on the way. */
const freshMs = 5000

interface Connection {
  /** Requests that were read and are not answered to the last byte. */
  waiting: number
  last: Promise<void>
  hasAsked: boolean
  readonly openedMs: number
}

/**
 * The connections of a server, so that they can end without a client noticing: never inside an answer, nor before the answer to a
 * request that was read, nor before the first request of a connection that was just accepted. Node's own `close` destroys those
 * whose answer was ended but has not left the process.
 */
export class Connections {
  readonly #now: () => number
  readonly #open = new Map<Socket, Connection>()
  #handshakes = 0
  #waiting = 0
  #ending = false
  #onQuiet = (): void => {}

  /** `now`: monotonic milliseconds. */
  constructor(now: () => number) {
    this.#now = now
  }

  /** One was accepted; `established` or `failed` follows. */
  accepted(): void {
    this.#handshakes++
  }

  failed(): void {
    this.#handshakes--
    this.#look()
  }

  established(socket: Socket): void {
    this.#handshakes--
    this.#open.set(socket, {
      waiting: 0,
      last: Promise.resolve(),
      hasAsked: false,
      openedMs: this.#now(),
    })
    socket.once('close', () => {
      this.#open.delete(socket)
      this.#look()
    })
  }

  isEstablished(socket: Socket): boolean {
    return this.#open.has(socket)
  }

  /**
   * Runs the work for one request after that for those before it on the same connection: their answers go out in that order
   * anyway. False where `max` wait already.
   */
  enqueue(socket: Socket, max: number, work: () => Promise<void>): boolean {
    const connection = this.#open.get(socket)
    if (connection === undefined || connection.waiting >= max) return false
    connection.waiting++
    connection.hasAsked = true
    this.#waiting++
    connection.last = connection.last.then(work).finally(() => {
      connection.waiting--
      this.#waiting--
      if (this.#ending && connection.waiting === 0) lingeringEnd(socket)
      this.#look()
    })
    return true
  }

  /** Ends each connection as soon as nothing is owed to it. Resolves when nothing is owed to any. */
  end(): Promise<void> {
    this.#ending = true
    for (const [socket, connection] of this.#open) {
      if (connection.waiting === 0 && !this.#isFresh(connection)) lingeringEnd(socket)
    }
    return new Promise((resolve) => {
      const timer = setTimeout(() => {
        // Who has not asked by now, or not even shaken hands, has no request on the way.
        this.#handshakes = 0
        for (const [socket, connection] of this.#open) {
          connection.hasAsked = true
          if (connection.waiting === 0) lingeringEnd(socket)
        }
        this.#look()
      }, freshMs)
      this.#onQuiet = () => {
        clearTimeout(timer)
        resolve()
      }
      this.#look()
    })
  }

  #isFresh({ hasAsked, openedMs }: Connection): boolean {
    return !hasAsked && this.#now() - openedMs < freshMs
  }

  #look(): void {
    if (!this.#ending || this.#waiting > 0 || this.#handshakes > 0) return
    for (const connection of this.#open.values()) if (this.#isFresh(connection)) return
    this.#onQuiet()
  }
}
