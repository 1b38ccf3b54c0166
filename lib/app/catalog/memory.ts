import type { OriginEntry } from '../../catalog/origin-table.ts'
import { readInventories, type SentInventory } from '../../catalog/read-inventories.ts'
import { serveFetch } from '../../catalog/serve-fetch.ts'
import { decodeAnswer, encodeAnswer } from '../../catalog/sync-answer.ts'
import { describeError } from '../../core/errors.ts'
import type { CatalogContext, MirroredRegistry } from './context.ts'
import { installSent } from './install-sent.ts'
import { readMemoryFile, writeMemoryFile } from './memory-file.ts'

const firstSaveMs = 60_000
const saveEveryMs = 600_000
/** What nobody has asked for by then is let go: its node is no member any more. */
const keepMs = 120_000
/** A stop does not wait longer for a slow disk; the older file stays then. */
const stopWaitMs = 3_000

/**
 * What the catalog keeps across a restart: the inventories of the others as they were proven last. They are proven again when
 * their node is a member again, and then only what has changed since is fetched; so a cluster that restarts whole doesn't
 * send all inventories to all.
 */
export class CatalogMemory {
  readonly #context: CatalogContext
  readonly #path: string
  readonly #installed: (mirrored: MirroredRegistry, entry: OriginEntry) => void
  /** By registry and short id. */
  readonly #kept = new Map<string, Map<string, SentInventory>>()
  readonly #savedVersions = new WeakMap<MirroredRegistry, number>()
  #cancel: (() => void) | undefined
  #cancelKeep: (() => void) | undefined
  #failed = false

  constructor(
    context: CatalogContext,
    path: string,
    installed: (mirrored: MirroredRegistry, entry: OriginEntry) => void,
  ) {
    this.#context = context
    this.#path = path
    this.#installed = installed
  }

  /** Reads the file; a damaged one is discarded with a warning. */
  async start(): Promise<void> {
    const { timers, logger } = this.#context
    try {
      this.#take(await readMemoryFile(this.#path))
    } catch (error) {
      this.#kept.clear()
      logger.warn(
        { file: this.#path, reason: describeError(error) },
        'the remembered catalog cannot be used and is discarded; neighbours are asked for all of it',
      )
    }
    this.#cancelKeep = timers.after(keepMs, () => this.#kept.clear())
    this.#plan(firstSaveMs)
    for (const mirrored of this.#context.registries.values()) this.recallAll(mirrored)
  }

  async stop(): Promise<void> {
    this.#cancel?.()
    this.#cancelKeep?.()
    this.#kept.clear()
    let cancel = () => {}
    const late = new Promise<void>((resolve) => {
      cancel = this.#context.timers.after(stopWaitMs, resolve)
    })
    await Promise.race([this.#save(), late])
    cancel()
  }

  /** A registry was joined: what is kept of it is put in for all that are members. */
  recallAll(mirrored: MirroredRegistry): void {
    for (const shortId of [...(this.#kept.get(mirrored.name)?.keys() ?? [])]) this.recall(mirrored, shortId)
  }

  /** A node became a member: what is kept of it is put in. */
  recall(mirrored: MirroredRegistry, shortId: string): void {
    const kept = this.#kept.get(mirrored.name)
    const sent = kept?.get(shortId)
    if (sent === undefined || this.#context.memberByShortId(shortId) === undefined) return
    kept?.delete(shortId)
    void this.#recall(mirrored, sent)
  }

  async #recall(mirrored: MirroredRegistry, sent: SentInventory): Promise<void> {
    const outcome = await installSent(this.#context, mirrored, sent, undefined, this.#installed)
    this.#context.options.metrics.count('starling_catalog_recalled_total', { outcome })
  }

  #take(frames: readonly Uint8Array[]): void {
    let registry: string | undefined
    let part: Uint8Array[] = []
    const end = (): void => {
      if (registry === undefined) return
      this.#kept.set(registry, new Map(readInventories(part).map((sent) => [sent.shortId, sent])))
    }
    for (const frame of frames) {
      const answer = decodeAnswer(frame)
      if (answer?.kind !== 'registries') {
        part.push(frame)
        continue
      }
      end()
      registry = answer.registries[0]
      part = []
    }
    end()
  }

  #plan(delayMs: number): void {
    this.#cancel = this.#context.timers.after(delayMs, () => {
      void this.#save().then(() => {
        if (!this.#context.stopped) this.#plan(saveEveryMs)
      })
    })
  }

  /** Never throws: a full disk is logged once, and the old file stays. */
  async #save(): Promise<void> {
    const { registries, logger } = this.#context
    const changed = [...registries.values()].filter(
      (mirrored) => this.#savedVersions.get(mirrored) !== mirrored.version,
    )
    if (changed.length === 0) return
    for (const mirrored of changed) this.#savedVersions.set(mirrored, mirrored.version)
    try {
      const bytes = await writeMemoryFile(this.#path, this.#frames())
      logger.debug({ file: this.#path, bytes }, 'the catalog is kept for the next start')
      this.#failed = false
    } catch (error) {
      for (const mirrored of changed) this.#savedVersions.delete(mirrored)
      if (!this.#failed) {
        logger.warn(
          { file: this.#path, reason: describeError(error) },
          'the catalog cannot be remembered on disk; the node goes on without',
        )
      }
      this.#failed = true
    }
  }

  async *#frames(): AsyncGenerator<Uint8Array> {
    for (const { name, state } of [...this.#context.registries.values()]) {
      yield encodeAnswer({ kind: 'registries', registries: [name] })
      for (const { shortId, checkpoint } of [...state.origins.all()]) {
        if (checkpoint === undefined || shortId === state.origins.self.shortId) continue
        const want = { shortId, epoch: 0, sequence: 0, buckets: undefined, proofOnly: false }
        yield* serveFetch(state, [want])
        await this.#context.timers.turn()
      }
    }
  }
}
