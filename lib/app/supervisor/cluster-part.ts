import type { NodeConfig } from '../../core/config.ts'
import type { Revocation } from '../../core/credentials.ts'
import { describeError, StarlingError } from '../../core/errors.ts'
import type { ClusterStatusView } from '../../core/ops-view.ts'
import { type Endpoint, parseHostPort } from '../../core/peer.ts'
import type { Clock, Logger, Metrics, Rng, Service, Subscribable } from '../../core/ports.ts'
import { createValue } from '../../core/value.ts'
import type { JoinAnswer, WatchAnswer, WatchChange } from '../../supervisor/api.ts'
import { loadCredentials } from '../trust/files.ts'
import type { ClusterLink } from './cluster-link.ts'
import { type ClusterMemory, readClusterMemory, writeClusterMemory } from './cluster-memory.ts'
import { makeNodeKeys, type NodeMaterial, readMaterial, writeMaterial } from './joined-folder.ts'
import { mergedRevocations } from './kept-revocations.ts'
import { proveKeys, reachOf } from './key-request.ts'
import { hasWantedSigners, isLockedOut, mustRenewNow, renewalDueMs } from './renewal.ts'
import { untilAnswered } from './server-join.ts'
import { pause, waitForChange } from './waiting.ts'

const firstRetryMs = 500
/** So long at most, and half as long again, it takes until a server that is back is heard; a thousand nodes a second come. */
const maxRetryMs = 10_000
const retryGrowth = 1.5
const maxSleepMs = 3_600_000
/** A CA that is about to end issues what is due at once. */
const minRenewalGapMs = 5_000
const signerJitterMs = 1_000
/** Who has been away while the CA was exchanged joins anew, and tries it this often. */
const rejoinGapMs = 60_000

export interface ClusterPartOptions {
  readonly config: NodeConfig
  readonly link: ClusterLink
  /** Of this machine: binds its name. */
  readonly password: string
  readonly clock: Clock
  readonly rng: Rng
  readonly log: Logger
  readonly metrics: Metrics
  /** Ends the first joining. */
  readonly signal: AbortSignal
}

/** A node as one of a cluster with servers: its files, kept up to date, and what the servers say. */
export interface ClusterPart extends Service {
  /** Mirroring is on for the whole cluster. */
  readonly sharingAllowed: Subscribable<boolean>
  /** Members that the servers know, for company. */
  peers(): readonly Endpoint[]
  view(): ClusterStatusView
  problems(): readonly string[]
  /** What is to be done after files or settings have changed; it returns why they can't be used. */
  onChange(apply: () => Promise<string | undefined>): void
  /** Who is revoked, as this node knows now: no such server is asked. */
  refuse(revocations: readonly Revocation[]): void
  /** Has the certificates renewed now. @throws StarlingError */
  renew(): Promise<void>
}

/**
 * Joins, unless this node has good certificates already: then it needs no server.
 * @throws StarlingError TOKEN_INVALID, SERVER_UNTRUSTED, JOIN_REFUSED, TRUST_FILE_INVALID, DISK_FULL
 */
export async function openClusterPart(options: ClusterPartOptions): Promise<ClusterPart> {
  const { config, link, clock, rng, log, metrics } = options
  const { name } = config.node
  const stopping = new AbortController()
  const renewed = createValue(0)
  let apply: () => Promise<string | undefined> = async () => undefined
  let memory = await readClusterMemory(config.dataDir)
  let material = await usableMaterial()
  let applied: string | undefined
  let problem: string | undefined
  let rejoinedMs = Number.NEGATIVE_INFINITY
  let turn: Promise<unknown> = Promise.resolve()
  const loops: Promise<void>[] = []

  if (material === undefined) {
    const retry = (attempt: number) =>
      pause(
        Math.min(maxRetryMs, firstRetryMs * 2 ** Math.min(attempt, 8)) * (0.5 + rng.next()),
        options.signal,
      )
    await untilAnswered(() => joinNow(options.signal), { retry, signal: options.signal, log })
  }
  const joined = material as NodeMaterial
  link.use({ client: joined.client, serverCaPem: joined.serverCaPem })
  link.learn(memory.servers.flatMap(({ urls }) => urls))
  const sharingAllowed = createValue(memory.embeddedRegistry)

  async function usableMaterial(): Promise<NodeMaterial | undefined> {
    const found = await readMaterial(config.dataDir)
    if (found === undefined) return undefined
    try {
      await loadCredentials(config.trust, name, clock.wallMs())
      return found
    } catch (error) {
      if (!(error instanceof StarlingError)) throw error
      log.warn(
        { reason: describeError(error) },
        'the certificates of this node cannot be used; it joins anew',
      )
      return undefined
    }
  }

  async function joinNow(signal: AbortSignal): Promise<void> {
    const old = await readMaterial(config.dataDir)
    const keys =
      old === undefined
        ? makeNodeKeys()
        : { identityPem: old.identityPem, servingKeyPem: old.serving.keyPem, clientKeyPem: old.client.keyPem }
    const proof = await proveKeys(keys, name)
    const answer = await link.join({ name, password: options.password, ...proof, ...reachOf(config) }, signal)
    await keep(answer, {
      identityPem: keys.identityPem,
      serving: { certPem: answer.servingCertificate, keyPem: keys.servingKeyPem },
      client: { certPem: answer.clientCertificate, keyPem: keys.clientKeyPem },
    })
    log.info({ node: name, server: link.follows() }, 'this node has joined the cluster')
  }

  /** Files first, then what is remembered, so that a crash between them is put right by the next answer. */
  async function keep(
    change: WatchChange,
    { identityPem, serving, client }: Pick<NodeMaterial, 'identityPem' | 'serving' | 'client'>,
  ): Promise<void> {
    const { serverCaPem, clientCaPem, keyring } = change.view
    const revocations = await mergedRevocations(config.dataDir, change.view)
    const next: NodeMaterial = {
      identityPem,
      serving,
      client,
      serverCaPem,
      clientCaPem,
      keyring,
      revocations,
    }
    if (JSON.stringify(next) !== JSON.stringify(material)) await writeMaterial(config.dataDir, next)
    const before = material
    material = next
    await remember(change)
    if (before?.client.certPem === next.client.certPem && before.serverCaPem === serverCaPem) return
    link.use({ client: next.client, serverCaPem })
  }

  async function remember({ revision, view, peers }: WatchChange): Promise<void> {
    const { embeddedRegistry, servers, revocations, rotation } = view
    const next: ClusterMemory = { revision, embeddedRegistry, servers, revocations, rotation, peers }
    if (JSON.stringify(next) === JSON.stringify(memory)) return
    memory = next
    link.learn(servers.flatMap(({ urls }) => urls))
    await writeClusterMemory(config.dataDir, memory)
  }

  /** One change after the other: renewals and the watch both bring some. */
  function inTurn<T>(act: () => Promise<T>): Promise<T> {
    const mine = turn.then(act)
    turn = mine.catch(() => undefined)
    return mine
  }

  async function take(change: WatchChange, own = material as NodeMaterial): Promise<void> {
    await keep(change, own)
    const { embeddedRegistry } = change.view
    if (embeddedRegistry !== sharingAllowed.current()) {
      log.info({ embeddedRegistry }, 'the servers switch mirroring for the whole cluster')
      sharingAllowed.set(embeddedRegistry)
    }
    const fault = await apply()
    if (fault !== undefined) {
      throw new StarlingError('TRUST_FILE_INVALID', `what the servers told cannot be used: ${fault}`)
    }
    // Not before it has certificates of the CA that signs now: the servers go by what is acknowledged.
    if (hasWantedSigners(own, change.view)) applied = change.revision
    metrics.count('starling_cluster_changes_total')
  }

  async function renew(): Promise<void> {
    const before = material as NodeMaterial
    const keys = {
      identityPem: before.identityPem,
      servingKeyPem: before.serving.keyPem,
      clientKeyPem: before.client.keyPem,
    }
    const request = { ...(await proveKeys(keys, name)), ...reachOf(config) }
    let answer: JoinAnswer
    try {
      answer = await link.renew(request, stopping.signal)
    } catch (error) {
      metrics.count('starling_certificate_renewals_total', { outcome: 'failed' })
      throw error
    }
    await inTurn(() =>
      take(answer, {
        ...(material as NodeMaterial),
        serving: { certPem: answer.servingCertificate, keyPem: keys.servingKeyPem },
        client: { certPem: answer.clientCertificate, keyPem: keys.clientKeyPem },
      }),
    )
    metrics.count('starling_certificate_renewals_total', { outcome: 'renewed' })
    log.info({ server: link.follows() }, 'the certificates of this node were renewed')
    renewed.set(renewed.current() + 1)
  }

  async function watchOnce(): Promise<void> {
    const seen = memory.revision
    const query = {
      ...(applied === undefined ? {} : { seen }),
      ...(applied === undefined ? {} : { applied }),
    }
    const answer: WatchAnswer = await link.watch(query, stopping.signal)
    metrics.count('starling_cluster_watches_total', { outcome: 'answered' })
    const { view } = answer
    await inTurn(async () => {
      if (view !== undefined) await take({ ...answer, view })
      else if (answer.peers.length > 0) memory = { ...memory, peers: answer.peers }
    })
    if (view === undefined || hasWantedSigners(material as NodeMaterial, view)) return
    // All nodes hear of a new CA at once.
    await pause(rng.next() * signerJitterMs, stopping.signal)
    await renew()
  }

  async function watchLoop(): Promise<void> {
    let failures = 0
    while (!stopping.signal.aborted) {
      try {
        await watchOnce()
        if (failures > 0) log.info({ server: link.follows() }, 'a server answers again')
        failures = 0
        problem = undefined
      } catch (error) {
        if (stopping.signal.aborted) return
        metrics.count('starling_cluster_watches_total', { outcome: 'failed' })
        problem = `no server tells this node of changes: ${describeError(error)}`
        if (failures++ === 0)
          log.warn({ reason: describeError(error) }, 'no server answers; this node goes on')
        if (isLockedOut(error)) await rejoin(error)
        const backoffMs = Math.min(maxRetryMs, firstRetryMs * retryGrowth ** Math.min(failures, 10))
        await pause(backoffMs * (0.5 + rng.next()), stopping.signal)
      }
    }
  }

  async function renewalLoop(): Promise<void> {
    let failures = 0
    let isForced = mustRenewNow((material as NodeMaterial).serving.certPem, reachOf(config).addresses)
    let drawn = { certPem: '', jitter: 0 }
    while (!stopping.signal.aborted) {
      const { serving, client } = material as NodeMaterial
      if (drawn.certPem !== serving.certPem) drawn = { certPem: serving.certPem, jitter: rng.next() }
      const { dueMs, lifeMs, endMs } = renewalDueMs([serving.certPem, client.certPem], drawn.jitter)
      const leftMs = isForced ? 0 : dueMs - clock.wallMs()
      if (leftMs > 0) {
        const sleepMs = Math.min(leftMs, maxSleepMs)
        await waitForChange((wake) => renewed.subscribe(wake), sleepMs, stopping.signal)
        continue
      }
      isForced = false
      try {
        if (clock.wallMs() >= endMs) await joinAgain()
        else await renew()
        failures = 0
        await pause(minRenewalGapMs, stopping.signal)
      } catch (error) {
        if (stopping.signal.aborted) return
        failures += 1
        const retryMs = Math.min(maxSleepMs, Math.max(1_000, lifeMs / 60)) * (0.5 + rng.next())
        const line = { reason: describeError(error), failures, retryInMs: Math.round(retryMs) }
        log.warn(line, 'the certificates could not be renewed')
        await pause(retryMs, stopping.signal)
        isForced = true
      }
    }
  }

  /** What this node has lets it in no more, as after it missed an exchange of the CA: the token has to do it. */
  async function rejoin(reason: unknown): Promise<void> {
    if (clock.monotonicMs() - rejoinedMs < rejoinGapMs) return
    rejoinedMs = clock.monotonicMs()
    log.warn(
      { reason: describeError(reason) },
      'the servers know the certificates of this node no more; it joins anew',
    )
    await joinAgain().catch((error) => {
      log.warn({ reason: describeError(error) }, 'this node could not join anew')
    })
  }

  /** Expired certificates let nobody in: the token has to do it. */
  async function joinAgain(): Promise<void> {
    await inTurn(async () => {
      await joinNow(stopping.signal)
      await apply()
    })
    renewed.set(renewed.current() + 1)
  }

  return {
    sharingAllowed,
    peers: () => memory.peers.flatMap((text) => parseHostPort(text) ?? []),
    view: () => ({
      servers: memory.servers.map((server) => server.name),
      follows: link.follows() ?? null,
      embeddedRegistry: memory.embeddedRegistry,
      revision: memory.revision,
      rotation: memory.rotation ?? null,
      revoked: [...new Set(memory.revocations.map((entry) => entry.name))].sort(),
    }),
    problems: () => (problem === undefined ? [] : [problem]),
    onChange(next) {
      apply = next
    },
    refuse: link.refuse,
    renew,
    async start() {
      loops.push(watchLoop(), renewalLoop())
    },
    async stop() {
      stopping.abort()
      link.close()
      await Promise.all(loops)
      await turn
    },
  }
}
