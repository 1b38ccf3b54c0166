import type { PeerId } from '../core/peer-id.ts'
import type { MachineContext } from './context.ts'
import type { Claim } from './messages.ts'
import { overrides, stateCode } from './states.ts'

/** Claims that wait for the record that they name. */
export class Wants {
  readonly #context: MachineContext
  /** In the order in which somebody was asked. */
  readonly #byShortId = new Map<string, { claim: Claim; askedMs: number }>()

  constructor(context: MachineContext) {
    this.#context = context
  }

  get size(): number {
    return this.#byShortId.size
  }

  /** Keeps the claim and asks the teller for the record, unless somebody was asked just now. */
  add(claim: Claim, teller: PeerId): void {
    const { nowMs, settings } = this.#context
    const known = this.#byShortId.get(claim.shortId)
    const isNewer = known === undefined || overrides(claim, known.claim)
    if (known !== undefined) {
      const isSame = known.claim.hash === claim.hash
      if (isSame && isNewer) known.claim = claim
      const isPending = nowMs - known.askedMs < settings.wantTimeoutMs
      if (isPending && (isSame || !isNewer)) return
    } else if (this.#byShortId.size >= settings.maxWants && !this.#expire()) {
      this.#context.observe('wants-full')
      return
    }
    this.#byShortId.delete(claim.shortId)
    this.#byShortId.set(claim.shortId, { claim, askedMs: nowMs })
    this.#context.emit({ type: 'fetch', teller, shortId: claim.shortId, hash: claim.hash })
  }

  /** The claim that waited for this record, if any. */
  take(shortId: string, hash: string): Claim | undefined {
    const known = this.#byShortId.get(shortId)
    if (known?.claim.hash !== hash) return undefined
    this.#byShortId.delete(shortId)
    return known.claim
  }

  /** A death or goodbye makes older claims void. */
  void(claim: Claim): void {
    const known = this.#byShortId.get(claim.shortId)
    if (known !== undefined && claim.state >= stateCode.dead && overrides(claim, known.claim))
      this.#byShortId.delete(claim.shortId)
  }

  #expire(): boolean {
    const { nowMs, settings } = this.#context
    for (const [shortId, want] of this.#byShortId) {
      if (nowMs - want.askedMs < settings.wantTimeoutMs) break
      this.#byShortId.delete(shortId)
    }
    return this.#byShortId.size < settings.maxWants
  }
}
