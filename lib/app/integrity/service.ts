import { join } from 'node:path'
import type { BlobSource, StoreBlob, StoreChange } from '../../core/content-store.ts'
import type { Digest } from '../../core/digest.ts'
import { describeError } from '../../core/errors.ts'
import type { Clock, Logger, Metrics, Service } from '../../core/ports.ts'
import { StoreView } from '../../core/store-view.ts'
import { MapFolder } from '../../registry/chunk-maps/map-folder.ts'
import { Hasher } from './hasher.ts'
import type { HashResult } from './messages.ts'
import { readWithheld, writeWithheld } from './withheld-file.ts'
import { defaultHashRates, type HashRates, type HashTask, WorkOrder } from './work-order.ts'

export interface IntegrityOptions {
  readonly dataDir: string
  readonly source: () => BlobSource
  /** Tells the catalog what is no longer offered, or is again. */
  readonly tell: (change: StoreChange) => Promise<void>
  readonly rates?: HashRates
  /** A new blob is hashed once no other has come for so long. */
  readonly restMs?: number
  /** From the begin of one round over all blobs to the begin of the next. */
  readonly roundMs?: number
  /** How often blobs that are withheld are looked at again. */
  readonly recheckMs?: number
  readonly clock: Clock
  readonly log: Logger
  readonly metrics: Metrics
}

/** Keeps the chunk maps of this node's blobs, goes over all blobs in the background, and withholds those that are damaged. */
export interface IntegrityService extends Service {
  /** What the catalog may hear of a change of the store; new blobs are hashed once the pull that brought them is over. */
  admit(change: StoreChange): StoreChange
  /** The bytes of a blob are not those of its digest: it is no longer offered. */
  damaged(digest: Digest): void
  /** The blob should be looked at now: it has no map. */
  hurry(digest: Digest): void
  /** A peer got wrong bytes of it: it is hashed anew. False where this node does not have it. */
  doubt(digest: Digest): boolean
  withheld(): readonly Digest[]
}

/** Folder of the maps in the data directory. */
export function mapsPathOf(dataDir: string): string {
  return join(dataDir, 'chunk-maps')
}

const dayMs = 86_400_000
const pruneGapMs = 600_000

export function createIntegrityService(options: IntegrityOptions): IntegrityService {
  const { clock, log, metrics, rates = defaultHashRates, roundMs = dayMs, recheckMs = 30_000 } = options
  const mapsPath = mapsPathOf(options.dataDir)
  const folder = new MapFolder(mapsPath)
  const hasher = new Hasher(mapsPath)
  const order = new WorkOrder(options.restMs)
  const view = new StoreView()
  const withheld = new Set<Digest>()
  const timers: NodeJS.Timeout[] = []
  let prunedMs = Number.NEGATIVE_INFINITY
  let told: Promise<void> = Promise.resolve()
  let running: HashTask | undefined
  let resting: NodeJS.Timeout | undefined
  let started = false
  let stopped = false

  function tell(change: StoreChange): void {
    told = told
      .then(() => options.tell(change))
      .catch((error) =>
        log.error({ error: describeError(error) }, 'the catalog did not take what is withheld'),
      )
    metrics.set('starling_integrity_withheld_blobs', withheld.size)
    told = told
      .then(() => writeWithheld(options.dataDir, withheld))
      .catch((error) => log.warn({ error: describeError(error) }, 'the withheld blobs could not be noted'))
  }

  function withhold(digest: Digest): void {
    if (withheld.has(digest)) return
    withheld.add(digest)
    metrics.count('starling_integrity_damaged_total')
    log.error(
      { digest },
      'a blob of this node is damaged: its bytes do not match its digest; it is no longer offered. Remove it and pull it again',
    )
    tell({ type: 'blob-deleted', digest })
  }

  function release(digest: Digest): void {
    if (!withheld.delete(digest)) return
    log.info({ digest }, 'a blob that was damaged is right again; it is offered')
    const blob = view.blobs.get(digest)
    if (blob !== undefined) tell({ type: 'blob-put', blob })
  }

  function judge(task: HashTask, result: HashResult): void {
    const { digest } = task
    metrics.count('starling_integrity_hashed_total', { kind: task.kind, outcome: result.outcome })
    metrics.count('starling_integrity_hashed_bytes_total', { kind: task.kind }, result.bytes)
    if (result.outcome === 'damaged' && view.blobs.has(digest)) withhold(digest)
    else if (result.outcome === 'right') {
      if (task.kind === 'doubt') log.info({ digest }, 'a blob that a peer doubts is right on this node')
      release(digest)
    } else if (result.outcome === 'gone') withheld.delete(digest)
    else if (result.outcome === 'unreadable') {
      log.warn({ digest, problem: result.problem }, 'a blob could not be hashed')
    }
  }

  function work(): void {
    if (!started || stopped || running !== undefined) return
    running = order.next(clock.monotonicMs())
    rest()
    if (running === undefined) return
    const task = running
    const { kind } = task
    const rate = kind === 'urgent' ? Number.POSITIVE_INFINITY : rates[kind === 'doubt' ? 'backlog' : kind]
    const trustMap = (kind === 'urgent' || kind === 'backlog') && !withheld.has(task.digest)
    void hasher.hash({ digest: task.digest, source: options.source(), trustMap, rate }).then((result) => {
      if (!stopped) judge(task, result)
      running = undefined
      work()
    })
  }

  /** Comes back for the new blobs when they have rested. */
  function rest(): void {
    clearTimeout(resting)
    const { restedMs } = order
    if (restedMs !== undefined)
      resting = setTimeout(work, Math.max(1, restedMs - clock.monotonicMs())).unref()
  }

  function hurry(digest: Digest): void {
    order.urgent(digest)
    if (running !== undefined && running.kind !== 'urgent') hasher.hurry()
    work()
  }

  function beginRound(): void {
    order.beginRound([...view.blobs.keys()])
    metrics.set('starling_integrity_round_started_seconds', Math.floor(clock.wallMs() / 1000))
    work()
  }

  function prune(): void {
    if (clock.monotonicMs() - prunedMs < pruneGapMs) return
    prunedMs = clock.monotonicMs()
    folder
      .prune((digest) => view.blobs.has(digest))
      .catch((error) => log.warn({ error: describeError(error) }, 'old chunk maps could not be removed'))
  }

  const mayOffer = ({ digest }: StoreBlob): boolean => !withheld.has(digest)

  return {
    admit(change) {
      const before = change.type === 'snapshot' ? new Set(view.blobs.keys()) : undefined
      view.apply(change)
      if (change.type === 'snapshot') {
        for (const { digest } of change.blobs) if (before?.has(digest) !== true) order.backlog(digest)
        for (const digest of withheld) if (view.blobs.has(digest)) order.urgent(digest)
        prune()
        work()
        return { ...change, blobs: change.blobs.filter(mayOffer) }
      }
      if (change.type === 'blob-deleted') {
        order.forget(change.digest)
        return change
      }
      if (change.type === 'image-deleted') return change
      const blobs = change.type === 'blob-put' ? [change.blob] : change.blobs
      for (const { digest } of blobs) order.fresh(digest, clock.monotonicMs())
      if (running === undefined) work()
      else rest()
      if (change.type === 'image-put') return { ...change, blobs: blobs.filter(mayOffer) }
      return mayOffer(change.blob) ? change : { type: 'blob-deleted', digest: change.blob.digest }
    },
    damaged: withhold,
    hurry,
    doubt(digest) {
      if (!view.blobs.has(digest)) return false
      order.doubt(digest)
      work()
      return true
    },
    withheld: () => [...withheld],
    async start() {
      for (const digest of await readWithheld(options.dataDir)) withheld.add(digest)
      metrics.set('starling_integrity_withheld_blobs', withheld.size)
      started = true
      timers.push(
        setInterval(() => withheld.forEach(hurry), recheckMs).unref(),
        setInterval(beginRound, roundMs).unref(),
      )
      work()
    },
    async stop() {
      stopped = true
      clearTimeout(resting)
      for (const timer of timers.splice(0)) clearInterval(timer)
      await hasher.stop()
      await told
    },
  }
}
