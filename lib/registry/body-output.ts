import type { BodySink } from './transfer-job.ts'

type Body = Parameters<BodySink['begin']>[0]

/** Written at once when there is room. What was let out beyond it waits here: behind the sink each byte is kept twice more, by the connection and by TLS. */
const burstBytes = 256 * 2 ** 10

/** The way of checked bytes to the client: begins the body when there are some, and knows when there is no room. */
export class BodyOutput {
  readonly #sink: BodySink
  readonly #onRoom: () => void
  #begun: boolean
  #full = false
  /** Let out, and not written yet. */
  #waiting: Uint8Array[] = []
  /** Offset of the next byte that goes out. */
  offset = 0

  /** `begun`: the client has a part of the body already. `onRoom` is called when all has been written and there is room again. */
  constructor(sink: BodySink, begun: boolean, onRoom: () => void) {
    this.#sink = sink
    this.#begun = begun
    this.#onRoom = onRoom
  }

  get begun(): boolean {
    return this.#begun
  }

  /** Nothing more is to be written; chunks written before may still be read from where they are. */
  get full(): boolean {
    return this.#full
  }

  begin(body: Body): void {
    if (this.#begun) return
    this.#begun = true
    this.#sink.begin(body)
  }

  /** `last`: nothing follows, so that nobody needs to wait for room. */
  write(chunks: readonly Uint8Array[], last: boolean): void {
    for (const chunk of chunks) {
      this.offset += chunk.length
      this.#waiting.push(chunk)
    }
    if (last) this.flush()
    else if (!this.#full) this.#send()
  }

  /** Writes what waits, whether there is room or not. */
  flush(): void {
    for (const chunk of this.#waiting.splice(0)) this.#sink.write(chunk)
  }

  /** Forgets what waits. */
  drop(): void {
    this.#waiting = []
  }

  #send(): void {
    let bytes = 0
    let hasRoom = true
    let index = 0
    for (; index < this.#waiting.length && (hasRoom || bytes < burstBytes); index++) {
      const chunk = this.#waiting[index] as Uint8Array
      bytes += chunk.length
      hasRoom = this.#sink.write(chunk)
    }
    this.#waiting.splice(0, index)
    if (!hasRoom || this.#waiting.length > 0) this.#wait()
  }

  #wait(): void {
    this.#full = true
    void this.#sink.drained().then(() => {
      this.#full = false
      this.#send()
      if (!this.#full) this.#onRoom()
    })
  }
}
