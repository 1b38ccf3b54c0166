import { reminderMs } from '../../catalog/announcement-pace.ts'
import { type Checkpoint, signCheckpoint } from '../../catalog/checkpoint.ts'
import { deltaContentBytes, encodeDelta } from '../../catalog/delta.ts'
import { changeSize, type ElementChange, maxInventoryElements } from '../../catalog/elements.ts'
import { changeOwn, ownChangePart, resignOwn, type SignOwn } from '../../catalog/own-inventory.ts'
import { countOf } from '../../catalog/replica-state.ts'
import { describeError } from '../../core/errors.ts'
import { publicKeyFromPeerId } from '../../core/peer-id.ts'
import type { CatalogContext, MirroredRegistry } from './context.ts'
import type { EpochStore } from './epoch.ts'

/** A change that would take more messages than this is told by a bare checkpoint, and fetched. */
const maxDeltasInRow = 4
const retryMs = 5_000

/** Announces what this node offers. It alone changes own inventories, one change at a time. */
export class CatalogPublisher {
  readonly #context: CatalogContext
  readonly #epochs: EpochStore
  /** The epoch for registries that are announced first from now on. */
  #epoch = 0
  /** A registry that was announced in `#epoch` was dropped: its sequences must not be used again. */
  #spent = false
  readonly #scheduled = new Map<MirroredRegistry, () => void>()
  readonly #sentMs = new Map<MirroredRegistry, number>()
  readonly #reminders = new Map<MirroredRegistry, () => void>()
  #chain: Promise<void> = Promise.resolve()

  constructor(context: CatalogContext, epochs: EpochStore) {
    this.#context = context
    this.#epochs = epochs
  }

  /** Begins a new epoch. @throws StarlingError DISK_FULL, CONFIG_INVALID where it can't be kept */
  async start(): Promise<void> {
    await this.#nextEpoch(await this.#epochs.load())
    for (const mirrored of this.#context.registries.values()) this.schedule(mirrored)
  }

  /** Resolves when nothing of it runs any more. */
  async stop(): Promise<void> {
    for (const cancel of [...this.#scheduled.values(), ...this.#reminders.values()]) cancel()
    this.#scheduled.clear()
    this.#reminders.clear()
    await this.#chain
  }

  dropped(mirrored: MirroredRegistry): void {
    this.#scheduled.get(mirrored)?.()
    this.#scheduled.delete(mirrored)
    this.#sentMs.delete(mirrored)
    this.#reminders.get(mirrored)?.()
    this.#reminders.delete(mirrored)
    if (mirrored.epoch !== undefined) this.#spent = true
  }

  /** There may be something to announce. */
  schedule(mirrored: MirroredRegistry, delayMs = 0): void {
    if (this.#epoch === 0 || this.#scheduled.has(mirrored) || this.#context.isOver(mirrored)) return
    const sentMs = this.#sentMs.get(mirrored) ?? Number.NEGATIVE_INFINITY
    const { clock, rng } = this.#context.options
    const waitMs = Math.max(delayMs, this.#context.pace.waitMs(clock.monotonicMs(), sentMs, rng))
    const cancel = this.#context.timers.after(waitMs, () => {
      this.#scheduled.delete(mirrored)
      this.#enqueue(mirrored, () => this.#announce(mirrored))
    })
    this.#scheduled.set(mirrored, cancel)
  }

  /** Others know of an epoch of this node that this node does not: a new one begins above it. */
  raiseEpoch(mirrored: MirroredRegistry, above: Checkpoint): void {
    this.#enqueue(mirrored, async () => {
      if (mirrored.epoch !== undefined && mirrored.epoch > above.epoch) return
      if (this.#epoch <= above.epoch) await this.#nextEpoch(above.epoch)
      if (this.#context.isOver(mirrored)) return
      const known = mirrored.epoch
      mirrored.epoch = this.#epoch
      this.#context.options.metrics.count('starling_catalog_epochs_raised_total')
      this.#context.logger.warn(
        { registry: mirrored.name, reported: above.epoch, epoch: this.#epoch },
        'others know a newer inventory of this node than it has itself; a new epoch begins',
      )
      if (known === undefined) return
      this.#send(mirrored, resignOwn(mirrored.state, this.#signer(mirrored, 1)), undefined)
    })
  }

  #enqueue(mirrored: MirroredRegistry, work: () => Promise<void>): void {
    this.#chain = this.#chain.then(work).catch((error) => {
      if (this.#context.isOver(mirrored)) return
      this.#context.warnSometimes(
        'publish',
        { registry: mirrored.name, error: describeError(error) },
        'the own inventory could not be announced; it is tried again',
      )
      this.schedule(mirrored, retryMs)
    })
  }

  async #nextEpoch(above: number): Promise<void> {
    const epoch = Math.max(this.#epoch, above) + 1
    await this.#epochs.save(epoch)
    this.#epoch = epoch
    this.#spent = false
  }

  async #announce(mirrored: MirroredRegistry): Promise<void> {
    const { local } = this.#context
    const { pending, state } = mirrored
    const own = state.origins.self
    if (this.#context.isOver(mirrored) || !local.heard) return
    if (own.checkpoint !== undefined && pending.size === 0) return
    if (mirrored.epoch === undefined) {
      if (this.#spent) await this.#nextEpoch(this.#epoch)
      mirrored.epoch = this.#epoch
    }
    const room = maxInventoryElements - countOf(own.sets)
    const shed = pending.sizeBytes() > maxDeltasInRow * deltaContentBytes
    const maxBytes = shed ? Number.POSITIVE_INFINITY : deltaContentBytes
    const first = pending.take({
      maxBytes,
      maxElements: shed ? ownChangePart : Number.POSITIVE_INFINITY,
      room,
    })
    if (own.checkpoint !== undefined && changeSize(first) === 0) return this.#warnFull(mirrored)
    const parts = shed ? takeAll(mirrored, first) : [first]
    const sequence = own.checkpoint?.epoch === mirrored.epoch ? own.checkpoint.sequence + 1 : 1
    const checkpoint = await this.#context.run(
      mirrored,
      changeOwn(state, parts, this.#signer(mirrored, sequence)),
    )
    if (checkpoint === undefined) return
    // With sequence 1 a delta starts from nothing, which is what it does only where nothing was announced before.
    this.#send(mirrored, checkpoint, shed ? undefined : first)
    if (pending.size > 0) this.schedule(mirrored)
  }

  #warnFull(mirrored: MirroredRegistry): void {
    this.#context.warnSometimes(
      'full',
      { registry: mirrored.name, elements: maxInventoryElements, left: mirrored.pending.size },
      'this node has more blobs of a registry than it may offer; the rest is not offered',
    )
  }

  #signer(mirrored: MirroredRegistry, sequence: number): SignOwn {
    const { privateKey } = this.#context.options
    const epoch = mirrored.epoch ?? this.#epoch
    return (setHash, count) => signCheckpoint(mirrored.name, { epoch, sequence, setHash, count }, privateKey)
  }

  #send(mirrored: MirroredRegistry, checkpoint: Checkpoint, change: ElementChange | undefined): void {
    const nowMs = this.#context.options.clock.monotonicMs()
    this.#sentMs.set(mirrored, nowMs)
    const gapSeconds = this.#context.pace.gapMs(nowMs) / 1000
    this.#context.options.metrics.set('starling_catalog_announcement_gap_seconds', gapSeconds)
    this.#context.changed(mirrored)
    this.#broadcast(mirrored, change === undefined ? 'checkpoint' : 'delta', checkpoint, change)
    this.#reminders.get(mirrored)?.()
    // A bare checkpoint again would be the same message, which the bus doesn't carry twice.
    if (change !== undefined) this.#remindOf(mirrored, checkpoint)
    else this.#reminders.delete(mirrored)
  }

  #remindOf(mirrored: MirroredRegistry, checkpoint: Checkpoint): void {
    const cancel = this.#context.timers.after(this.#context.between(reminderMs.min, reminderMs.max), () => {
      this.#reminders.delete(mirrored)
      if (this.#context.isOver(mirrored)) return
      const { clock, metrics } = this.#context.options
      if (this.#context.pace.isBusy(clock.monotonicMs()))
        metrics.count('starling_catalog_reminders_left_out_total')
      else this.#broadcast(mirrored, 'reminder', checkpoint)
    })
    this.#reminders.set(mirrored, cancel)
  }

  #broadcast(
    mirrored: MirroredRegistry,
    kind: 'delta' | 'checkpoint' | 'reminder',
    checkpoint: Checkpoint,
    change?: ElementChange,
  ): void {
    const { bus, metrics, peerId } = this.#context.options
    const origin = publicKeyFromPeerId(peerId)
    const message = encodeDelta({ registry: mirrored.name, origin, checkpoint, change })
    metrics.count('starling_catalog_published_total', { kind })
    bus.publish(mirrored.name, message).catch((error) => {
      this.#context.warnSometimes(
        'broadcast',
        { registry: mirrored.name, error: describeError(error) },
        'a change could not be broadcast; others find it when they compare',
      )
    })
  }
}

/** The rest of a large change, in parts that are short to sort, `first` among them. */
function* takeAll(mirrored: MirroredRegistry, first: ElementChange): Generator<ElementChange> {
  yield first
  let room = maxInventoryElements - countOf(mirrored.state.origins.self.sets) - first.addTags.length
  room -= first.addDigests.length / 32
  for (;;) {
    const bounds = { maxBytes: Number.POSITIVE_INFINITY, maxElements: ownChangePart, room: Math.max(0, room) }
    const part = mirrored.pending.take(bounds)
    if (changeSize(part) === 0) return
    room -= part.addDigests.length / 32 + part.addTags.length
    yield part
  }
}
