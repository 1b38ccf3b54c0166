import { maxRegistries } from '../../catalog/sync-request.ts'
import { forgetOrigin, type Steps } from '../../catalog/transition.ts'
import {
  type CatalogService,
  isMirrored,
  isShareable,
  type MirrorSet,
  type OriginState,
} from '../../core/cluster.ts'
import type { StoreChange } from '../../core/content-store.ts'
import { describeError } from '../../core/errors.ts'
import { rpcProtocols } from '../../core/messaging.ts'
import { type PeerId, publicKeyFromPeerId, shortIdOf } from '../../core/peer-id.ts'
import { CatalogContext, type CatalogOptions, type MirroredRegistry } from './context.ts'
import { CatalogDiscovery } from './discovery.ts'
import { createEpochFile } from './epoch.ts'
import { CatalogMemory } from './memory.ts'
import { CatalogPublisher } from './publisher.ts'
import { CatalogReceiver } from './receiver.ts'
import { CatalogSchedule } from './schedule.ts'
import { answerRequest } from './server.ts'
import { CatalogSynchroniser } from './synchroniser.ts'
import { nodeTimers, runInTurns } from './timers.ts'
import { createCatalogView } from './view.ts'

/**
 * The catalog of a node: announces what its store holds, keeps what the others announce of the registries that it
 * mirrors (and nothing of others), and answers look-ups from memory. Members must be told by `setOriginState`; what
 * comes from nodes that are no members is not taken.
 */
export function createCatalogService(options: CatalogOptions): CatalogService {
  const timers = options.timers ?? nodeTimers
  const context = new CatalogContext(options, timers)
  const epochs = options.epochs ?? createEpochFile(options.dataDir, context.logger)
  const publisher = new CatalogPublisher(context, epochs)
  const synchroniser = new CatalogSynchroniser(context, {
    installed: (mirrored, entry) => receiver.applyHeld(mirrored, entry),
    ownIsNewer: (mirrored, proof) => publisher.raiseEpoch(mirrored, proof),
  })
  const memory =
    options.memoryPath === undefined
      ? undefined
      : new CatalogMemory(context, options.memoryPath, (mirrored, entry) =>
          receiver.applyHeld(mirrored, entry),
        )
  const schedule = new CatalogSchedule(context, synchroniser)
  const receiver = new CatalogReceiver(context, {
    behind: (mirrored, entry, wanted, from) => schedule.behind(mirrored, entry, wanted, from),
    ownIsNewer: (mirrored, delta) => publisher.raiseEpoch(mirrored, delta.checkpoint),
  })
  const discovery = new CatalogDiscovery(context, synchroniser, (names, from) => learn(names, from))
  const registryListeners = new Set<(registries: readonly string[]) => void>()
  const view = createCatalogView(context)
  let mirrors: MirrorSet = { names: [], wildcard: false }
  let started = false
  let storeChain: Promise<void> = Promise.resolve()

  function join(name: string): MirroredRegistry {
    const mirrored = context.open(name)
    mirrored.pending.add({
      addedDigests: [...context.local.digests(name)],
      removedDigests: [],
      addedTags: [...context.local.tags(name)],
      removedTags: [],
    })
    if (started) options.bus.join(name)
    schedule.opened(mirrored)
    memory?.recallAll(mirrored)
    publisher.schedule(mirrored)
    context.logger.info({ registry: name }, 'the registry is mirrored')
    return mirrored
  }

  function drop(mirrored: MirroredRegistry): void {
    mirrored.closed = true
    context.registries.delete(mirrored.name)
    if (started) options.bus.leave(mirrored.name)
    schedule.dropped(mirrored)
    publisher.dropped(mirrored)
    context.changed(mirrored)
    context.logger.info({ registry: mirrored.name }, 'the registry is no longer mirrored')
  }

  function tellRegistries(): void {
    if (mirrors.wildcard) discovery.hurry()
    for (const listener of registryListeners) listener(view.registries())
  }

  /** With a wildcard, registries are joined as they are seen, here or on a peer, which is then asked first. */
  function learn(names: Iterable<string>, from?: PeerId): void {
    if (!mirrors.wildcard || context.stopped) return
    let grown = false
    for (const name of names) {
      if (context.registries.has(name) || !isShareable(name)) continue
      if (context.registries.size >= maxRegistries) {
        context.warnSometimes(
          'registries',
          { registry: name, maxRegistries },
          'too many registries to mirror',
        )
        break
      }
      const mirrored = join(name)
      if (from !== undefined) schedule.neighbourDiffers(mirrored, from)
      grown = true
    }
    if (grown) tellRegistries()
  }

  function setMirrors(next: MirrorSet): void {
    mirrors = next
    const before = context.registries.size
    const gone = [...context.registries.values()].filter(({ name }) => !isMirrored(next, name))
    for (const mirrored of gone) drop(mirrored)
    const come = next.names.filter((name) => !context.registries.has(name))
    for (const name of come) join(name)
    discovery.setActive(started && next.wildcard)
    learn(context.local.namedRegistries())
    if (gone.length + come.length > 0 || context.registries.size !== before) tellRegistries()
  }

  /** One change after the other, each in short slices. */
  function applyStoreChange(change: StoreChange): Promise<void> {
    const applied = storeChain.then(async () => {
      const on = { clock: options.clock, timers, isOver: () => context.stopped }
      await runInTurns(noteStoreChange(change), on)
    })
    storeChain = applied.catch(() => undefined)
    return applied
  }

  function* noteStoreChange(change: StoreChange): Steps<void> {
    const changed = new Set<MirroredRegistry>()
    for (const part of yield* context.local.applySteps(change)) {
      const mirrored = context.registries.get(part.registry)
      if (mirrored === undefined) continue
      mirrored.pending.add(part)
      changed.add(mirrored)
      yield
    }
    learn(context.local.namedRegistries())
    for (const mirrored of changed) context.changed(mirrored)
    for (const mirrored of context.registries.values()) publisher.schedule(mirrored)
  }

  function setOriginState(origin: PeerId, state: OriginState): void {
    if (origin === options.peerId || context.stopped) return
    const before = context.memberState(origin)
    const next = state === 'forgotten' ? undefined : state
    if (before === next) return
    context.setMember(origin, next)
    for (const mirrored of context.registries.values()) setStateIn(mirrored, origin, next)
    if (next === 'live') {
      schedule.memberCame()
      if (before === undefined && mirrors.wildcard) discovery.hurry()
    }
  }

  function setStateIn(mirrored: MirroredRegistry, origin: PeerId, next: 'live' | 'masked' | undefined): void {
    const { origins } = mirrored.state
    const entry = origins.get(origin)
    if (next !== undefined && entry?.checkpoint === undefined)
      memory?.recall(mirrored, shortIdOf(publicKeyFromPeerId(origin)))
    if (entry === undefined) return
    if (next === undefined) mirrored.held.forget(origin)
    origins.setLive(entry, next === 'live')
    if (next !== undefined) {
      if (entry.work === 'leaving') entry.work = 'changing'
    } else if (entry.work === 'changing') {
      entry.work = 'leaving'
    } else if (entry.work === 'idle') {
      void context.run(mirrored, forgetOrigin(mirrored.state, entry))
    }
    context.changed(mirrored)
  }

  const events = {
    neighbourDiffers: (mirrored: MirroredRegistry, peer: PeerId) => schedule.neighbourDiffers(mirrored, peer),
    registriesLearned: learn,
  }

  setMirrors(options.mirrors)

  return {
    ...view,
    async start() {
      options.bus.onMessage((registry, from, message) =>
        context.stopped ? 'ignore' : receiver.receive(registry, from, message),
      )
      options.rpc.handle(rpcProtocols.catalog, (from, frame) => answerRequest(context, events, from, frame))
      await publisher.start()
      await memory?.start()
      started = true
      for (const name of context.registries.keys()) options.bus.join(name)
      schedule.start()
      discovery.setActive(mirrors.wildcard)
    },
    async stop() {
      if (context.stopped) return
      context.stopped = true
      schedule.stop()
      discovery.setActive(false)
      await memory?.stop()
      await publisher.stop().catch((error) => {
        context.logger.warn({ error: describeError(error) }, 'the catalog did not stop cleanly')
      })
      for (const name of started ? context.registries.keys() : []) options.bus.leave(name)
    },
    applyStoreChange,
    setMirrors,
    setOriginState,
    onRegistriesChanged(listener) {
      registryListeners.add(listener)
      return () => registryListeners.delete(listener)
    },
    onChanged(listener) {
      context.changeListeners.add(listener)
      return () => context.changeListeners.delete(listener)
    },
  }
}
