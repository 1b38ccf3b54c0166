import { setTimeout as delay } from 'node:timers/promises'
import { normaliseTransfer } from '../../config/transfer-section.ts'
import type { NodeConfig } from '../../core/config.ts'
import type { BlobSource } from '../../core/content-store.ts'
import type { Credentials } from '../../core/credentials.ts'
import type { RegistryControl } from '../../core/lookup.ts'
import type { Endpoint } from '../../core/peer.ts'
import type { Logger, Metrics, Service } from '../../core/ports.ts'
import type { RegistryTuning } from '../../registry/messages.ts'
import { createRegistryHost, type RegistryHost } from './host.ts'

export interface RegistryServiceOptions {
  readonly config: NodeConfig
  readonly credentials: Credentials
  readonly source: BlobSource
  readonly control: RegistryControl
  /** Folder of the chunk maps. */
  readonly mapsPath: string
  readonly log: Logger
  readonly metrics: Metrics
}

/**
 * The registry API of a node over moves of its listener and over rebuilds of the parts that answer its questions. A pull
 * that is under way knows only the address at which it began, so an old listener goes on for a grace period, and what it
 * sends then is sent to its end.
 */
export interface RegistryService extends Service {
  /** Where it listens; empty before `start`. */
  addresses(): Endpoint[]
  /** From now on this one answers; until then the one before does. */
  answerBy(control: RegistryControl): void
  /** The content store is there from now on. */
  setSource(source: BlobSource): void
  tune(config: NodeConfig): void
  /** What lookups answered may not hold any more. */
  lookupsChanged(): void
  /**
   * Serves at the addresses, and with the threads, of another configuration.
   * @throws StarlingError PORT_IN_USE; then nothing has changed
   */
  move(config: NodeConfig): Promise<void>
}

/** What a transfer at a listener that has moved away may take, and how many such listeners there may be. */
const maxTransferMs = 3_600_000
const maxRetiring = 2

function tuningOf({ registry, transfer }: NodeConfig): RegistryTuning {
  return { stallTimeoutMs: registry.stallTimeoutMs, transfer: transfer ?? normaliseTransfer() }
}

/** Nothing is opened before `start`, which throws StarlingError PORT_IN_USE. */
export function createRegistryService(options: RegistryServiceOptions): RegistryService {
  // Nothing here holds on to a control that does not answer any more: a catalog hangs on each.
  const { config: first, credentials, mapsPath, log, metrics } = options
  let { control, source } = options
  const answering = new Proxy({} as RegistryControl, { get: (_, name) => Reflect.get(control, name) })
  const ending = new AbortController()
  const retiring = new Map<RegistryHost, Promise<void>>()
  /** Hears of every change from the moment at which its first thread begins. */
  let coming: RegistryHost | undefined
  const isEnding = () => ending.signal.aborted
  let current = hostFor(first)
  let started: Promise<void> | undefined

  function hostFor(config: NodeConfig, held?: readonly Endpoint[]): RegistryHost {
    const { registry, shutdownGraceMs } = config
    return createRegistryHost({
      listen: registry.listen,
      ...(held === undefined ? {} : { held }),
      workers: registry.workers,
      credentials,
      source,
      control: answering,
      mapsPath,
      limits: { ...tuningOf(config), maxConnections: registry.maxConnections },
      graceMs: shutdownGraceMs,
      log,
      metrics,
    })
  }

  const serving = () => [current, ...retiring.keys()]
  const all = () => (coming === undefined ? serving() : [coming, ...serving()])

  async function retire(host: RegistryHost, graceMs: number): Promise<void> {
    host.retire()
    await delay(graceMs, undefined, { signal: ending.signal, ref: false }).catch(() => {})
    await host.stop(isEnding() ? graceMs : maxTransferMs)
    retiring.delete(host)
  }

  return {
    start() {
      started ??= current.start()
      return started
    },
    async stop() {
      ending.abort()
      await Promise.all(all().map((host) => host.stop()))
      await Promise.all(retiring.values())
    },
    addresses: () => current.addresses(),
    answerBy(next) {
      control = next
      for (const host of all()) host.lookupsChanged()
    },
    setSource(next) {
      if (JSON.stringify(next) === JSON.stringify(source)) return
      source = next
      for (const host of all()) host.setSource(next)
    },
    tune(config) {
      for (const host of all()) host.tune(tuningOf(config))
    },
    lookupsChanged() {
      for (const host of all()) host.lookupsChanged()
    },
    async move(config) {
      const held = serving().flatMap((host) => host.addresses())
      const moved = hostFor(config, held)
      coming = moved
      try {
        await moved.start()
      } finally {
        coming = undefined
      }
      const [oldest] = retiring.keys()
      if (retiring.size >= maxRetiring) void oldest?.stop()
      const old = current
      current = moved
      retiring.set(old, retire(old, config.shutdownGraceMs))
    },
  }
}
