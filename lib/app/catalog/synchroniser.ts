import { type Checkpoint, verifyCheckpoint } from '../../catalog/checkpoint.ts'
import { hashOrigins } from '../../catalog/comparison.ts'
import type { OriginEntry } from '../../catalog/origin-table.ts'
import { planFetch, takeBatch, wantOf, wantOwnProof } from '../../catalog/plan-fetch.ts'
import { readInventories } from '../../catalog/read-inventories.ts'
import { decodeAnswer, type OriginSummary } from '../../catalog/sync-answer.ts'
import { encodeRequest, type SyncRequest, type Want } from '../../catalog/sync-request.ts'
import { rpcProtocols } from '../../core/messaging.ts'
import type { PeerId } from '../../core/peer-id.ts'
import type { CatalogContext, MirroredRegistry } from './context.ts'
import { installSent } from './install-sent.ts'

const timeoutMs = 10_000
/** A comparison lists at most all origins, an answer to a fetch holds one inventory of the largest size and some. */
const maxComparisonBytes = 8 * 2 ** 20
const maxFetchBytes = 24 * 2 ** 20
const maxConcurrent = 2

/**
 * - `equal`: the neighbour knows the same; `updated`: something newer was fetched; `not-mirrored`: it doesn't know
 *   the registry; `unusable`: it told of something newer and had nothing that could be used.
 */
export type SyncOutcome = 'equal' | 'updated' | 'not-mirrored' | 'unusable'

/** Compares with neighbours and fetches what they know better. */
export class CatalogSynchroniser {
  readonly #context: CatalogContext
  readonly #on: {
    installed: (mirrored: MirroredRegistry, entry: OriginEntry) => void
    ownIsNewer: (mirrored: MirroredRegistry, proof: Checkpoint) => void
  }
  #running = 0
  readonly #waiting: (() => void)[] = []

  constructor(
    context: CatalogContext,
    on: {
      installed: (mirrored: MirroredRegistry, entry: OriginEntry) => void
      ownIsNewer: (mirrored: MirroredRegistry, proof: Checkpoint) => void
    },
  ) {
    this.#context = context
    this.#on = on
  }

  /**
   * Makes this node know of a registry what a neighbour knows.
   * @throws StarlingError PEER_UNREACHABLE, FRAME_TOO_LARGE, WIRE_MALFORMED
   */
  compare(mirrored: MirroredRegistry, peer: PeerId, answering: boolean): Promise<SyncOutcome> {
    return this.#limited(async () => {
      const request = {
        kind: 'compare',
        registry: mirrored.name,
        origins: hashOrigins(mirrored.state),
        answering,
      } as const
      const theirs: OriginSummary[] = []
      for (const frame of await this.#request(peer, request, maxComparisonBytes)) {
        const answer = decodeAnswer(frame)
        if (answer?.kind !== 'comparison') continue
        if (!answer.mirrored) return 'not-mirrored'
        for (const summary of answer.origins) theirs.push(summary)
      }
      if (this.#context.isOver(mirrored)) return 'equal'
      const plan = planFetch(
        mirrored.state,
        theirs,
        (shortId) => this.#context.memberByShortId(shortId) !== undefined,
      )
      if (plan.ownIsNewer) await this.#askForOwn(mirrored, peer)
      if (plan.newer.length === 0) return 'equal'
      const queue = [...plan.newer]
      let installed = 0
      while (queue.length > 0 && !this.#context.isOver(mirrored)) {
        const wants = await this.#context.run(mirrored, takeBatch(mirrored.state, queue))
        if (wants !== undefined) installed += await this.#fetch(mirrored, peer, wants)
      }
      return installed > 0 ? 'updated' : 'unusable'
    })
  }

  /**
   * Fetches the inventory of one origin from a neighbour, if that knows a newer state; returns whether it did.
   * @throws StarlingError PEER_UNREACHABLE, FRAME_TOO_LARGE, WIRE_MALFORMED
   */
  repair(mirrored: MirroredRegistry, entry: OriginEntry, peer: PeerId): Promise<boolean> {
    return this.#limited(
      async () => (await this.#fetch(mirrored, peer, [wantOf(mirrored.state, entry.shortId)])) > 0,
    )
  }

  /**
   * Tells a peer which registries are mirrored here and returns what it mirrors.
   * @throws StarlingError PEER_UNREACHABLE, FRAME_TOO_LARGE, WIRE_MALFORMED
   */
  async exchangeRegistries(peer: PeerId): Promise<readonly string[]> {
    const registries = [...this.#context.registries.keys()]
    const frames = await this.#request(peer, { kind: 'registries', registries }, 2 ** 18)
    return frames.flatMap((frame) => {
      const answer = decodeAnswer(frame)
      return answer?.kind === 'registries' ? answer.registries : []
    })
  }

  async #fetch(mirrored: MirroredRegistry, peer: PeerId, wants: readonly Want[]): Promise<number> {
    const bases = new Map<string, Checkpoint | undefined>()
    for (const { shortId } of wants) {
      bases.set(shortId, mirrored.state.origins.byShortId(shortId)?.checkpoint)
    }
    const request = { kind: 'fetch', registry: mirrored.name, wants } as const
    let installed = 0
    const again: Want[] = []
    for (const sent of readInventories(await this.#request(peer, request, maxFetchBytes))) {
      if (this.#context.isOver(mirrored)) return installed
      const outcome = await installSent(
        this.#context,
        mirrored,
        sent,
        bases.get(sent.shortId),
        this.#on.installed,
      )
      this.#context.options.metrics.count('starling_catalog_inventories_total', { outcome })
      if (outcome === 'installed') installed += 1
      else if (outcome === 'wrong-set-hash' && sent.content.buckets !== undefined) {
        again.push(wantOf(mirrored.state, sent.shortId, true))
      } else if (outcome !== 'stale' && outcome !== 'busy' && outcome !== 'superseded') {
        this.#context.warnSometimes(
          `sent-${outcome}`,
          { registry: mirrored.name, peer, outcome },
          'an inventory that a neighbour sent cannot be used',
        )
      }
    }
    return again.length === 0 ? installed : installed + (await this.#fetch(mirrored, peer, again))
  }

  /** A neighbour says that it knows a newer state of this node's own inventory: believed only with this node's signature. */
  async #askForOwn(mirrored: MirroredRegistry, peer: PeerId): Promise<void> {
    const { peerId } = this.#context.options
    const request = {
      kind: 'fetch',
      registry: mirrored.name,
      wants: [wantOwnProof(mirrored.state)],
    } as const
    for (const { shortId, checkpoint } of readInventories(
      await this.#request(peer, request, maxFetchBytes),
    )) {
      if (shortId !== mirrored.state.origins.self.shortId) continue
      if (verifyCheckpoint(mirrored.name, checkpoint, this.#context.keyOf(peerId))) {
        this.#on.ownIsNewer(mirrored, checkpoint)
      }
    }
  }

  #request(peer: PeerId, request: SyncRequest, maxAnswerSizeBytes: number): Promise<Uint8Array[]> {
    return this.#context.options.rpc.request(peer, rpcProtocols.catalog, encodeRequest(request), {
      timeoutMs,
      maxAnswerSizeBytes,
    })
  }

  /** At most a few exchanges at a time: each may hold a large answer. */
  async #limited<T>(work: () => Promise<T>): Promise<T> {
    while (this.#running >= maxConcurrent) await new Promise<void>((resolve) => this.#waiting.push(resolve))
    this.#running += 1
    try {
      return await work()
    } finally {
      this.#running -= 1
      this.#waiting.shift()?.()
    }
  }
}
