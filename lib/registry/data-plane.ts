import { pieceSizeBytes } from '../core/chunk-map.ts'
import type { BlobReader } from '../core/content-store.ts'
import type { RegistryControl } from '../core/lookup.ts'
import type { Endpoint } from '../core/peer.ts'
import type { Clock, Logger, Metrics } from '../core/ports.ts'
import { FlowLimit, type FlowState } from '../selection/flow-limit.ts'
import { HedgeBudget } from '../selection/hedge-budget.ts'
import { BufferPool } from './buffer-pool.ts'
import { ChunkGarbage } from './chunk-garbage.ts'
import { AgreedMaps } from './chunk-maps/agreed-maps.ts'
import { Disputes } from './chunk-maps/dispute.ts'
import { LocalIntegrity } from './chunk-maps/local-integrity.ts'
import { blockSizeBytes } from './chunk-maps/local-map.ts'
import { createMapCheck } from './chunk-maps/map-check.ts'
import { MapFolder } from './chunk-maps/map-folder.ts'
import type { RegistryServices } from './exchange.ts'
import { createPassingMemory, PassingBytes } from './flights/passing-bytes.ts'
import { RegistryHandler } from './handler.ts'
import { HotBlobs } from './hot-blobs.ts'
import { LocalStore } from './local-store.ts'
import type { RegistryCredentials, RegistryLimits, RegistryTuning } from './messages.ts'
import { PeerClient } from './peer-client.ts'
import { RecentSizes } from './recent-sizes.ts'
import { RegistryServer } from './server.ts'
import { TransferBudget } from './transfer-budget.ts'
import { VerifiedCache } from './verified-cache.ts'

export interface DataPlaneOptions {
  readonly credentials: RegistryCredentials
  readonly limits: RegistryLimits
  /** Folder of the chunk maps; undefined where local content is not checked as it leaves. */
  readonly mapsPath?: string | undefined
  /** Where threads count together; absent: by itself. */
  readonly flows?: { readonly uploads: FlowState; readonly downloads: FlowState }
  /** Where threads see what passes through the others; absent: by itself. */
  readonly passing?: PassingBytes
  readonly reader: BlobReader
  readonly control: RegistryControl
  readonly clock: Clock
  readonly log: Logger
  readonly metrics: Metrics
}

const maxIdleBlocks = 8
/** What is gathered for a client; larger writes save little, and each client has some under way. */
const writeSizeBytes = 64 * 2 ** 10
/** As many as 40 clients have under way. */
const maxIdleWrites = 128
/** Of the transfers that are checked by a map each has one. */
const maxIdlePieces = 32
/** After transfers were cut short their connections get this long to end cleanly. */
const cutShortMs = 2000

/** The registry API of one thread: listeners, handler, local store and the way to peers. */
export class DataPlane {
  readonly #server: RegistryServer
  readonly #handler: RegistryHandler
  readonly #services: RegistryServices & { limits: RegistryLimits }
  readonly #disputes: Disputes
  readonly #peers: PeerClient

  constructor(options: DataPlaneOptions) {
    const { credentials, limits, reader, control, clock, log, metrics } = options
    const peers = new PeerClient(credentials, limits, clock)
    this.#peers = peers
    this.#disputes = new Disputes({ peers, control, log, now: () => clock.monotonicMs() })
    const maps = new AgreedMaps({ peers, disputes: this.#disputes })
    const store = new LocalStore(reader, limits)
    const integrity =
      options.mapsPath === undefined
        ? undefined
        : new LocalIntegrity({
            store,
            folder: new MapFolder(options.mapsPath),
            metrics,
            onDamaged: (digest) => control.damaged?.(digest),
            onUnmapped: (digest) => control.unmapped?.(digest),
          })
    this.#services = {
      control,
      store,
      integrity,
      suspect: (suspicion) => {
        maps.forget(suspicion.digest)
        this.#disputes.suspect(suspicion)
      },
      startCheck: createMapCheck({
        ...{ peers, maps, metrics },
        pieces: new BufferPool(pieceSizeBytes, maxIdlePieces),
      }),
      peers,
      cache: new VerifiedCache(),
      recentSizes: new RecentSizes(() => clock.monotonicMs()),
      hot: new HotBlobs(),
      metrics,
      pool: new BufferPool(blockSizeBytes, maxIdleBlocks),
      writes: new BufferPool(writeSizeBytes, maxIdleWrites),
      garbage: new ChunkGarbage(),
      passing: options.passing ?? new PassingBytes(createPassingMemory(), 0),
      budget: new TransferBudget(limits.transferMemoryBytes),
      hedges: new HedgeBudget((outcome) => metrics.count('starling_hedges_total', { outcome })),
      uploads: new FlowLimit(limits.transfer.upload, options.flows?.uploads),
      downloads: new FlowLimit(limits.transfer.download, options.flows?.downloads),
      limits,
      now: () => clock.monotonicMs(),
    }
    const handler = new RegistryHandler(this.#services, log)
    this.#handler = handler
    this.#server = new RegistryServer({
      credentials,
      limits,
      clock,
      log,
      metrics,
      onRequest: (request, response, client) => handler.handle(request, response, client),
    })
  }

  /** Requests that are being answered. */
  requestsInFlight(): number {
    return this.#handler.inFlight
  }

  /** @throws StarlingError PORT_IN_USE */
  listen(endpoints: readonly Endpoint[], options: { reusePort: boolean }): Promise<Endpoint[]> {
    return this.#server.listen(endpoints, options)
  }

  setCredentials(credentials: RegistryCredentials): void {
    this.#server.setCredentials(credentials)
    this.#peers.setCredentials(credentials)
  }

  /** For what begins from now on. */
  tune(tuning: RegistryTuning): void {
    const { upload, download } = tuning.transfer
    this.#services.limits = { ...this.#services.limits, ...tuning }
    this.#services.uploads.setLimits(upload)
    this.#services.downloads.setLimits(download)
  }

  setReader(reader: BlobReader): void {
    this.#services.store.setReader(reader)
  }

  /** Answers from now on end their connections, so that who asks again comes to another listener. */
  retire(): void {
    this.#handler.beginStop()
  }

  /** Accepts nothing new; what is under way gets `graceMs`, then ends early by FIN. */
  async stop(graceMs: number): Promise<void> {
    this.retire()
    if (!(await settles(this.#server.retire(), graceMs))) {
      this.#handler.cutShort()
      await settles(this.#handler.idle(), cutShortMs)
    }
    this.#server.closeAll()
    this.#disputes.close()
    this.#peers.close()
    this.#services.store.close()
  }
}

function settles(work: Promise<void>, timeoutMs: number): Promise<boolean> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => resolve(false), timeoutMs)
    void work.then(() => {
      clearTimeout(timer)
      resolve(true)
    })
  })
}
