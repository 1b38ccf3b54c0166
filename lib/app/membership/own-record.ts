import type { KeyObject } from 'node:crypto'
import { isDeepStrictEqual } from 'node:util'
import { hashRegistries, type SignedRecord, signRecord } from '../../membership/record.ts'
import type { ChangeableFacts, OwnFacts } from './options.ts'

/** What this node says of itself; each renewal has a greater sequence. */
export class OwnRecord {
  #facts: OwnFacts
  readonly #privateKey: KeyObject
  #registries: readonly string[]
  #sequence: number

  constructor(facts: OwnFacts, privateKey: KeyObject, registries: readonly string[], sequence: number) {
    this.#facts = facts
    this.#privateKey = privateKey
    this.#registries = [...registries].sort()
    this.#sequence = Math.floor(sequence)
  }

  get sequence(): number {
    return this.#sequence
  }

  /** Sorted. */
  get registries(): readonly string[] {
    return this.#registries
  }

  /** False where they are the same as before; otherwise the sequence has grown. */
  setRegistries(registries: readonly string[]): boolean {
    const sorted = [...registries].sort()
    if (sorted.join('\n') === this.#registries.join('\n')) return false
    this.#registries = sorted
    this.#sequence++
    return true
  }

  /** False where they are the same as before; otherwise the sequence has grown. */
  setFacts(change: ChangeableFacts): boolean {
    const next = { ...this.#facts, ...change }
    if (isDeepStrictEqual(next, this.#facts)) return false
    this.#facts = next
    this.#sequence++
    return true
  }

  /** Others know a record with this sequence: ours must be greater. */
  outdo(sequence: number): void {
    this.#sequence = Math.max(this.#sequence, sequence) + 1
  }

  /** @throws StarlingError FRAME_TOO_LARGE */
  sign(): SignedRecord {
    const record = {
      ...this.#facts,
      sequence: this.#sequence,
      registriesCount: this.#registries.length,
      registriesHash: hashRegistries(this.#registries),
    }
    return signRecord(record, this.#privateKey)
  }
}
