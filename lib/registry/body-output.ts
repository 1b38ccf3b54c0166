import type { BodySink } from './transfer-job.ts'

type Body = Parameters<BodySink['begin']>[0]

/** The way of checked bytes to the client: begins the body when there are some, and knows when there is no room. */
export class BodyOutput {
  readonly #sink: BodySink
  readonly #onRoom: () => void
  #begun: boolean
  #full = false
  /** Offset of the next byte that goes out. */
  offset = 0

  /** `begun`: the client has a part of the body already. `onRoom` is called when there is room again. */
  constructor(sink: BodySink, begun: boolean, onRoom: () => void) {
    this.#sink = sink
    this.#begun = begun
    this.#onRoom = onRoom
  }

  get begun(): boolean {
    return this.#begun
  }

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
      if (!this.#sink.write(chunk) && !last) this.#wait()
    }
  }

  #wait(): void {
    if (this.#full) return
    this.#full = true
    void this.#sink.drained().then(() => {
      this.#full = false
      this.#onRoom()
    })
  }
}
