import type { CandidatePeer, RegistryControl, TransferReport, WrongBytes } from '../core/lookup.ts'

/** One attempt to get bytes from one peer; the control plane hears of its begin and, once, of its end. */
export class TransferAttempt {
  readonly peer: CandidatePeer
  readonly #control: RegistryControl
  readonly #now: () => number
  readonly #startedMs: number
  #firstByteMs: number | undefined
  #bytes = 0
  #outcome: TransferReport['outcome'] | undefined
  #reason = ''

  constructor(peer: CandidatePeer, deps: { control: RegistryControl; now: () => number }) {
    this.peer = peer
    this.#control = deps.control
    this.#now = deps.now
    this.#startedMs = deps.now()
    deps.control.transferStarted?.(peer.peerId)
  }

  received(bytes: number): void {
    this.#firstByteMs ??= this.#now() - this.#startedMs
    this.#bytes += bytes
  }

  /** It is proven that the peer sent wrong bytes. */
  condemn(wrong: WrongBytes, reason: string): void {
    this.end('wrong-bytes', reason, undefined, wrong)
  }

  /** `status`: the HTTP status with which the peer refused. */
  end(outcome: TransferReport['outcome'], reason: string, status?: number, wrong?: WrongBytes): void {
    if (this.#outcome !== undefined) return
    this.#outcome = outcome
    this.#reason = reason
    this.#control.transferred({
      peerId: this.peer.peerId,
      outcome,
      bytes: this.#bytes,
      firstByteMs: this.#firstByteMs,
      durationMs: this.#now() - this.#startedMs,
      ...(status === undefined ? {} : { status }),
      ...(wrong === undefined ? {} : { wrong }),
    })
  }

  get bytes(): number {
    return this.#bytes
  }

  get outcome(): TransferReport['outcome'] | undefined {
    return this.#outcome
  }

  /** For the user: `node-2 (unreachable: connect ECONNREFUSED …)`. */
  describe(): string {
    const { name } = this.peer
    return this.#reason === '' ? name : `${name} (${this.#outcome}: ${this.#reason})`
  }
}
