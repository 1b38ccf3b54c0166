import type { AttestationRegistry } from '../../core/messaging.ts'
import type { Endpoint } from '../../core/peer.ts'
import type { PeerId } from '../../core/peer-id.ts'
import type { Rng } from '../../core/ports.ts'
import type { RecordWithProof } from '../../membership/exchange.ts'
import type { MembershipMachine } from '../../membership/machine.ts'
import type { SignedRecord } from '../../membership/record.ts'
import { type MembershipSnapshot, maxSnapshotMembers } from '../../membership/snapshot.ts'
import type { SnapshotFile } from './snapshot-file.ts'

const saveIntervalMs = 30_000
/** Members of an earlier life that are tried when nobody else answers. */
const maxRemembered = 64

export interface MemoryParts {
  readonly file: SnapshotFile
  readonly machine: MembershipMachine
  readonly attestations: AttestationRegistry
  readonly rng: Rng
  readonly self: PeerId
  readonly snapshot: MembershipSnapshot | undefined
  /** Checks a remembered record; undefined where it is refused. */
  readonly admit: (given: RecordWithProof) => SignedRecord | undefined
}

/** What survives a restart: the own sequence and incarnation, and where members were. */
export class MembershipMemory {
  readonly #parts: MemoryParts
  #remembered: (readonly Endpoint[])[] | undefined
  #sequence = 0
  #isDirty = false
  #savedMs = Number.NEGATIVE_INFINITY

  constructor(parts: MemoryParts) {
    this.#parts = parts
  }

  /** Something that is kept has changed. */
  changed(sequence: number): void {
    this.#sequence = sequence
    this.#isDirty = true
  }

  tick(nowMs: number): void {
    if (!this.#isDirty || nowMs - this.#savedMs < saveIntervalMs) return
    this.#savedMs = nowMs
    void this.save()
  }

  save(): Promise<void> {
    this.#isDirty = false
    const { file, machine, self } = this.#parts
    const incarnation = machine.get(self)?.incarnation ?? 0
    return file.save({ sequence: this.#sequence, incarnation, members: this.#known() })
  }

  /** Addresses of some members of an earlier life that are still attested. */
  remembered(): readonly (readonly Endpoint[])[] {
    this.#remembered ??= this.#draw().flatMap((given) => {
      const signed = this.#parts.admit(given)
      return signed === undefined || signed.record.peerId === this.#parts.self ? [] : [signed.record.p2p]
    })
    return this.#remembered
  }

  #draw(): RecordWithProof[] {
    const all = [...(this.#parts.snapshot?.members ?? [])]
    const drawn: RecordWithProof[] = []
    while (all.length > 0 && drawn.length < maxRemembered)
      drawn.push(...all.splice(Math.floor(this.#parts.rng.next() * all.length), 1))
    return drawn
  }

  /** Members of this life; where none was met yet, those of the life before stay. */
  #known(): RecordWithProof[] {
    const { machine, attestations, self, snapshot } = this.#parts
    const known: RecordWithProof[] = []
    for (const { signed, state } of machine.members()) {
      if (known.length >= maxSnapshotMembers) break
      const { peerId } = signed.record
      const attestation = peerId === self || state === 'left' ? undefined : attestations.get(peerId)
      if (attestation !== undefined) known.push({ record: signed.bytes, attestation: attestation.bytes })
    }
    return known.length > 0 ? known : [...(snapshot?.members ?? [])]
  }
}
