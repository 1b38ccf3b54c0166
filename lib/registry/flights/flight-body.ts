import type { Digest } from '../../core/digest.ts'
import { beginBody } from '../blob-answer.ts'
import { BodyCheck } from '../body-check.ts'
import type { Exchange } from '../exchange.ts'
import type { BodySink } from '../transfer-job.ts'
import type { PassingBytes, PassingWriter } from './passing-bytes.ts'

type Body = Parameters<BodySink['begin']>[0]

/**
 * The body that a follower gives its client, whichever parents the bytes come from. Its end is held back until the digest of
 * the whole is right; a part of a blob can't be checked. Children of this node get the bytes as they come, and check them likewise.
 */
export class FlightBody implements BodySink {
  readonly #exchange: Exchange
  readonly #digest: Digest
  readonly #partial: boolean
  readonly #passing: PassingBytes
  #writer: PassingWriter | undefined
  #body: Body | undefined
  #check: BodyCheck | undefined
  #next = 0

  /** `partial`: the client asked for a range. */
  constructor(exchange: Exchange, digest: Digest, partial: boolean, passing: PassingBytes) {
    this.#passing = passing
    this.#exchange = exchange
    this.#digest = digest
    this.#partial = partial
  }

  /** Size of the blob and what is to be had of it, once a parent has told. */
  get body(): Body | undefined {
    return this.#body
  }

  /** Offset of the next byte that is needed. */
  get next(): number {
    return this.#next
  }

  get checks(): boolean {
    return this.#check?.checks === true
  }

  begin(body: Body): void {
    if (this.#body !== undefined) return
    this.#body = body
    this.#next = body.start
    this.#check = new BodyCheck(this.#digest, body)
    this.#writer = this.#passing.open(this.#digest, body.start, body.sizeBytes)
  }

  write(chunk: Uint8Array): boolean {
    this.#next += chunk.length
    this.#writer?.write(chunk)
    const free = this.#check?.pass(chunk)
    return free === undefined ? true : this.#send(free)
  }

  drained(): Promise<void> {
    return this.#exchange.out.drained()
  }

  /** After the last byte; false where the bytes are not those of the digest. */
  finish(): boolean {
    const held = this.#check?.finish()
    if (held === undefined) return false
    if (this.checks) this.close(true)
    for (const chunk of held) this.#send(chunk)
    if (this.#body !== undefined) this.#head(this.#body)
    return true
  }

  /** Nothing more passes. `verified`: the bytes are those of the digest. */
  close(verified = false): void {
    this.#writer?.close(verified)
    this.#writer = undefined
  }

  #send(chunk: Uint8Array): boolean {
    if (this.#body !== undefined) this.#head(this.#body)
    return this.#exchange.out.write(chunk)
  }

  #head(body: Body): void {
    if (this.#exchange.out.headSent) return
    beginBody(this.#exchange, this.#digest, body.sizeBytes, body, this.#partial)
  }
}
