import { type ApplyOutcome, applyDelta } from '../../catalog/apply-delta.ts'
import { type Checkpoint, compareAge, sameBytes, verifyCheckpoint } from '../../catalog/checkpoint.ts'
import { type Delta, decodeDelta, maxDeltaSizeBytes } from '../../catalog/delta.ts'
import type { OriginEntry } from '../../catalog/origin-table.ts'
import type { BroadcastVerdict } from '../../core/messaging.ts'
import { type PeerId, peerIdFromPublicKey } from '../../core/peer-id.ts'
import type { CatalogContext, MirroredRegistry } from './context.ts'

/** What became of a broadcast message; each is a value of the label `outcome` of the counter. */
export type MessageOutcome =
  | ApplyOutcome
  | 'too-large'
  | 'malformed'
  | 'reserved'
  | 'wrong-topic'
  | 'not-mirrored'
  | 'unknown-origin'
  | 'forged'
  | 'own'

/** Only what no honest node sends is held against the neighbour that sent it. */
const verdicts: Readonly<Partial<Record<MessageOutcome, BroadcastVerdict>>> = {
  'too-large': 'reject',
  malformed: 'reject',
  'wrong-topic': 'reject',
  forged: 'reject',
  reserved: 'ignore',
  'not-mirrored': 'ignore',
  'unknown-origin': 'ignore',
  // Somebody on the way has changed it, or its origin lies; either way it is of no use to others.
  'wrong-set-hash': 'ignore',
  oversized: 'ignore',
}

/** Takes broadcast messages: checks, applies, counts them, and says what is to be repaired. */
export class CatalogReceiver {
  readonly #context: CatalogContext
  readonly #on: {
    /** What is known of an origin is behind what it has signed. */
    behind: (mirrored: MirroredRegistry, entry: OriginEntry, wanted: Checkpoint, from: PeerId) => void
    /** A message of this node's own past that it doesn't know. */
    ownIsNewer: (mirrored: MirroredRegistry, delta: Delta) => void
  }

  constructor(
    context: CatalogContext,
    on: {
      behind: (mirrored: MirroredRegistry, entry: OriginEntry, wanted: Checkpoint, from: PeerId) => void
      ownIsNewer: (mirrored: MirroredRegistry, delta: Delta) => void
    },
  ) {
    this.#context = context
    this.#on = on
  }

  receive(registry: string, from: PeerId, message: Uint8Array): BroadcastVerdict {
    const outcome = this.#judge(registry, from, message)
    this.#context.options.metrics.count('starling_catalog_messages_total', { outcome })
    const verdict = verdicts[outcome] ?? 'accept'
    if (verdict === 'accept') this.#context.pace.heard(this.#context.options.clock.monotonicMs())
    if (verdict === 'reject' || outcome === 'wrong-set-hash' || outcome === 'conflict') {
      this.#context.warnSometimes(outcome, { registry, from, outcome }, 'a catalog message cannot be used')
    }
    return verdict
  }

  /** Applies what was held for an origin and now follows what is known of it. */
  applyHeld(mirrored: MirroredRegistry, entry: OriginEntry): void {
    while (entry.checkpoint !== undefined && entry.work === 'idle') {
      const delta = mirrored.held.take(entry.peerId, entry.checkpoint)
      if (delta === undefined) return
      const outcome = applyDelta(mirrored.state, entry, delta.checkpoint, delta.change)
      this.#context.options.metrics.count('starling_catalog_held_total', { outcome })
      if (outcome !== 'applied' && outcome !== 'adopted') return
      this.#context.changed(mirrored)
    }
  }

  #judge(registry: string, from: PeerId, message: Uint8Array): MessageOutcome {
    if (message.length > maxDeltaSizeBytes) return 'too-large'
    const mirrored = this.#context.registries.get(registry)
    if (mirrored === undefined) return 'not-mirrored'
    const delta = decodeOr(message)
    if (typeof delta === 'string') return delta
    if (delta.registry !== registry) return 'wrong-topic'
    const origin = peerIdFromPublicKey(delta.origin)
    const own = origin === this.#context.options.peerId
    if (!own && this.#context.entryOf(mirrored, origin) === undefined) return 'unknown-origin'
    if (!verifyCheckpoint(registry, delta.checkpoint, this.#context.keyOf(origin))) return 'forged'
    return own ? this.#judgeOwn(mirrored, delta) : this.#apply(mirrored, origin, delta, from)
  }

  #judgeOwn(mirrored: MirroredRegistry, delta: Delta): MessageOutcome {
    const known = mirrored.state.origins.self.checkpoint
    const age =
      known === undefined
        ? delta.checkpoint.epoch - (mirrored.epoch ?? 0)
        : compareAge(delta.checkpoint, known)
    const twin = known !== undefined && age === 0 && !sameBytes(delta.checkpoint.setHash, known.setHash)
    if (age > 0 || twin) this.#on.ownIsNewer(mirrored, delta)
    return 'own'
  }

  #apply(mirrored: MirroredRegistry, origin: PeerId, delta: Delta, from: PeerId): MessageOutcome {
    const entry = this.#context.entryOf(mirrored, origin)
    if (entry === undefined) return 'unknown-origin'
    const outcome = applyDelta(mirrored.state, entry, delta.checkpoint, delta.change)
    switch (outcome) {
      case 'applied':
        this.#context.changed(mirrored)
        this.applyHeld(mirrored, entry)
        break
      case 'adopted':
        this.applyHeld(mirrored, entry)
        break
      case 'gap':
      case 'busy':
        mirrored.held.hold(origin, delta)
        this.#on.behind(mirrored, entry, delta.checkpoint, from)
        break
      case 'wrong-set-hash':
        this.#on.behind(mirrored, entry, delta.checkpoint, from)
    }
    return outcome
  }
}

function decodeOr(message: Uint8Array): Delta | 'reserved' | 'malformed' {
  try {
    return decodeDelta(message)
  } catch {
    return 'malformed'
  }
}
