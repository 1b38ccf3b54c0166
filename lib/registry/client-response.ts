import type { OutgoingHttpHeaders, ServerResponse } from 'node:http'
import type { BufferPool } from './buffer-pool.ts'
import { lingeringEnd } from './lingering-end.ts'
import type { SlotKeeper } from './slot-keeper.ts'
import { WriteCoalescer } from './write-coalescer.ts'

/**
 * The answer to one request, with back-pressure and an honest end: a body that can't go on ends by FIN, so that the client
 * sees that it is short and asks again (CONTAINERD.md, "Broken bodies").
 */
export class ClientResponse {
  readonly #response: ServerResponse
  readonly #clientTimeoutMs: number
  readonly #coalescer: WriteCoalescer
  readonly #abort = new AbortController()
  #expected = 0
  #sent = 0
  #status = 0
  #cut = false
  #endTimer: NodeJS.Timeout | undefined
  /** Room that it takes among what goes to peers. */
  slot: SlotKeeper | undefined
  /** Milliseconds that so many bytes of a local blob must wait before they go. */
  pace: (bytes: number) => number = () => 0

  constructor(response: ServerResponse, clientTimeoutMs: number, pool: BufferPool) {
    this.#response = response
    this.#coalescer = new WriteCoalescer((chunk, done) => response.write(chunk, done), pool)
    this.#clientTimeoutMs = clientTimeoutMs
    response.on('error', () => {})
    response.once('close', () => {
      clearTimeout(this.#endTimer)
      this.slot?.free()
      if (!response.writableFinished) this.#abort.abort('gone')
    })
  }

  /** Aborted when the client goes away, or the work should end: `reason` is `gone`, `shutdown` or `no-room`. */
  get signal(): AbortSignal {
    return this.#abort.signal
  }

  /** The work for this request should end as well as it can. */
  shutDown(): void {
    if (!this.#response.writableEnded) this.#abort.abort('shutdown')
  }

  get status(): number {
    return this.#status
  }

  /** Bytes of the body that were handed to the connection. */
  get sentBytes(): number {
    return this.#sent
  }

  get headSent(): boolean {
    return this.#status !== 0
  }

  /** The body was, or will be, shorter than its `Content-Length`. */
  get incomplete(): boolean {
    return this.#status !== 0 && this.#sent < this.#expected
  }

  head(status: number, headers: OutgoingHttpHeaders, bodySizeBytes: number): void {
    this.#status = status
    this.#expected = bodySizeBytes
    this.#response.writeHead(status, headers)
  }

  /** False where no more should come until `drained` resolves. The chunk must not be changed afterwards. */
  write(chunk: Uint8Array): boolean {
    this.#sent += chunk.length
    return this.#coalescer.push(chunk) && !this.#response.writableNeedDrain
  }

  /** Resolves when the bytes have left, and the buffer may be used again, or the client is gone. */
  async writeReused(chunk: Uint8Array): Promise<void> {
    this.#coalescer.flush()
    const waitMs = this.pace(chunk.length)
    if (waitMs > 0) await this.#rest(waitMs)
    await this.#settled((done) => {
      this.#sent += chunk.length
      this.#response.write(chunk, done)
    })
  }

  /** Resolves when there is room again, or the client is gone. */
  drained(): Promise<void> {
    if (!this.#response.writableNeedDrain) return Promise.resolve()
    return this.#settled((done) => this.#response.once('drain', done))
  }

  /** Ends the answer; a body that is short ends the connection, unless nothing but the head was asked for. */
  finish(headOnly = false): void {
    this.#coalescer.flush()
    if (this.incomplete && !headOnly) this.#endEarly()
    else this.#end()
  }

  /** What is left of the body may still wait for a client that takes nothing. */
  #end(): void {
    this.#response.end()
    if (this.#sent === 0 || this.#response.writableLength === 0) return
    this.slot?.blocked()
    this.#endTimer = setTimeout(() => this.#response.destroy(), this.#clientTimeoutMs)
  }

  #rest(waitMs: number): Promise<void> {
    const { signal } = this
    return new Promise((resolve) => {
      const done = (): void => {
        clearTimeout(timer)
        signal.removeEventListener('abort', done)
        resolve()
      }
      const timer = setTimeout(done, waitMs)
      signal.addEventListener('abort', done, { once: true })
    })
  }

  /** A client that takes nothing for too long is cut off: nothing else bounds what it holds. */
  async #settled(begin: (done: () => void) => void): Promise<void> {
    const { signal, slot } = this
    if (signal.aborted || this.#response.destroyed) return
    slot?.blocked()
    await new Promise<void>((resolve) => {
      const done = (): void => {
        clearTimeout(timer)
        signal.removeEventListener('abort', done)
        resolve()
      }
      const timer = setTimeout(() => this.#response.destroy(), this.#clientTimeoutMs)
      signal.addEventListener('abort', done, { once: true })
      begin(done)
    })
    const room = slot?.unblocked() ?? true
    if (room !== true && !(await room)) this.#abort.abort('no-room')
  }

  #endEarly(): void {
    if (this.#cut) return
    this.#cut = true
    const { socket } = this.#response
    if (socket === null) this.#response.destroy()
    else lingeringEnd(socket)
  }
}
