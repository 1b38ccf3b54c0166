import type { MirrorSet } from '../core/cluster.ts'
import type { NodeConfig } from '../core/config.ts'
import { describeError } from '../core/errors.ts'
import type { Endpoint } from '../core/peer.ts'
import type { Logger } from '../core/ports.ts'
import type { LiveFiles } from './config/live-files.ts'
import { registryMoves, sharingChange } from './config/sharing-change.ts'
import type { HandedOver } from './registry/hand-over.ts'
import { createSharing } from './sharing.ts'
import type { Sharing, SharingOptions } from './sharing-parts.ts'

const retrySharingMs = 15_000

export interface SharingKeeperOptions {
  readonly config: NodeConfig
  readonly settings: LiveFiles
  readonly log: Logger
  /** What a sharing part needs beside what changes from one to the next. */
  readonly parts: Omit<SharingOptions, 'config' | 'registry'>
}

export function isEmpty(mirrors: MirrorSet): boolean {
  return mirrors.names.length === 0 && !mirrors.wildcard
}

/** Keeps the sharing part as the settings want it: begun, tuned, moved, built anew or ended, one change after the other. */
export class SharingKeeper {
  readonly #options: SharingKeeperOptions
  #sharing: Sharing | undefined
  /** The registry API of a part that ended, until the next one takes it over: pulls go on meanwhile. */
  #kept: HandedOver | undefined
  /** The configuration that the running part was built from. */
  #built: NodeConfig
  #problem: string | undefined
  #isStopping = false
  #turn: Promise<void> = Promise.resolve()

  constructor(options: SharingKeeperOptions) {
    this.#options = options
    this.#built = options.config
    this.#problem = isEmpty(this.#wanted()) ? undefined : 'sharing is starting'
  }

  /** The part that runs now, if any does. */
  current(): Sharing | undefined {
    return this.#sharing
  }

  /** Where the registry API listens now, also while the part behind it is built anew. */
  registryAddresses(): readonly Endpoint[] {
    return (this.#sharing?.registry ?? this.#kept?.service)?.addresses() ?? []
  }

  /** Why nothing is shared though something is to be; undefined where all is well. */
  problem(): string | undefined {
    return this.#problem
  }

  /** The configuration of the node, with the addresses of the registry API that are served by now. */
  servedConfig(): NodeConfig {
    const live = this.#options.settings.config()
    return this.#sharing === undefined && this.#kept === undefined
      ? live
      : { ...live, registry: this.#built.registry }
  }

  /** The first turn. @throws StarlingError where a port, the store or a trust file can't be used */
  async start(): Promise<void> {
    await this.#follow()
  }

  /** Ends the running part; no other begins. */
  async stop(): Promise<void> {
    this.#isStopping = true
    await this.#turn
    await this.#sharing?.stop()
    await this.#kept?.service.stop()
  }

  /** The settings have changed. Resolves after their turn; a failure is kept for `starling status` and tried again. */
  follow(): Promise<void> {
    this.#turn = this.#turn.then(async () => {
      if (this.#isStopping) return
      try {
        await this.#follow()
        this.#problem = undefined
      } catch (error) {
        this.#problem = describeError(error)
        this.#options.log.error(
          { problem: this.#problem, retryInMs: retrySharingMs },
          'sharing could not begin',
        )
        setTimeout(() => void this.follow(), retrySharingMs).unref()
      }
    })
    return this.#turn
  }

  #wanted(): MirrorSet {
    return this.#options.settings.current().mirrors
  }

  async #follow(): Promise<void> {
    const isWanted = !isEmpty(this.#wanted())
    const next = this.#options.settings.config()
    if (isWanted) await this.#change(next)
    if (!isWanted) await this.#end()
    else if (this.#sharing === undefined) await this.#begin(next)
  }

  /** Brings the running part to another configuration, or ends it where a new one is needed. */
  async #change(next: NodeConfig): Promise<void> {
    const sharing = this.#sharing
    const { log } = this.#options
    if (sharing === undefined) {
      if (this.#kept === undefined) return
      if (registryMoves(this.#built, next)) await this.#kept.service.move(next)
      this.#kept.service.tune(next)
      this.#built = { ...this.#built, registry: next.registry }
      return
    }
    const change = sharingChange(this.#built, next)
    if (change === 'none') return
    if (change === 'tune') {
      sharing.tune(next)
      this.#built = next
      log.info({ transfer: next.transfer }, 'transfers that begin from now on have other bounds')
      return
    }
    if (registryMoves(this.#built, next)) {
      await sharing.moveRegistry(next)
      this.#built = { ...this.#built, registry: next.registry }
      log.info(
        { listen: next.registry.listen, oldForMs: next.shutdownGraceMs },
        'the registry API has moved; the old listener goes on for a while',
      )
    }
    if (change === 'registry') {
      sharing.tune(next)
      this.#built = next
      return
    }
    log.warn({}, 'this change of config.yaml needs a restart of the sharing part; the registry API goes on')
    this.#sharing = undefined
    this.#problem = 'sharing is restarting with a changed configuration'
    this.#kept = await sharing.release()
    this.#kept.service.tune(next)
  }

  async #end(): Promise<void> {
    const ending = this.#sharing ?? this.#kept?.service
    if (ending === undefined) return
    this.#sharing = undefined
    this.#kept = undefined
    await ending.stop()
    this.#options.log.info(
      { registries: this.#options.config.registries },
      'nothing is mirrored any more; all ports are closed',
    )
  }

  /** Where it fails nothing is open, or only the registry API that was to be taken over: it goes on until it can be. */
  async #begin(config: NodeConfig): Promise<void> {
    const part = await createSharing({ ...this.#options.parts, config, registry: this.#kept })
    await part.start()
    this.#built = config
    this.#sharing = part
    this.#kept = undefined
    this.#problem = undefined
  }
}
