import { describeError } from '../../core/errors.ts'
import type { Logger, Metrics, Rng, Service, Subscribable } from '../../core/ports.ts'
import type { StateAnswer } from '../../supervisor/api.ts'
import { createSupervisorClient } from '../../supervisor/client.ts'
import { mergeStates } from '../../trust/cluster-merge.ts'
import { isRevokedServer } from '../../trust/cluster-state.ts'
import type { ClusterStore } from './cluster-store.ts'
import type { ServerCertificateSet } from './server-certificates.ts'
import type { SupervisorService } from './supervisor-service.ts'
import { hashOf } from './told-view.ts'
import { pause, waitForChange } from './waiting.ts'

const pullTimeoutMs = 60_000
const firstRetryMs = 500
const maxRetryMs = 15_000
const maxOutMs = 3_600_000

export interface ReplicatorOptions {
  readonly store: ClusterStore
  readonly certificates: Subscribable<ServerCertificateSet>
  readonly service: Pick<SupervisorService, 'addAcknowledged'>
  readonly rng: Rng
  readonly log: Logger
  readonly metrics: Metrics
}

/** Pulls what every other server knows, as soon as it knows it, and merges it; so all of them come to the same state. */
export function createReplicator(options: ReplicatorOptions): Service {
  const { store, certificates, service, rng, log, metrics } = options
  const stopping = new AbortController()
  const pulls = new Map<string, Promise<void>>()
  let unsubscribe: (() => void) | undefined
  /** It has the keys of the CA, so that it could tell anything. */
  const isOut = (name: string) => isRevokedServer(store.current(), name)

  /** Pulls from one server until something fails or its certificates here change. */
  async function pullFrom(name: string, url: string): Promise<void> {
    const { client, serverCaPem } = certificates.current()
    const revocations = Object.values(store.current().revocations)
    const peer = createSupervisorClient({ url, anchors: [serverCaPem], client, revocations })
    try {
      let tag: string | undefined
      while (!stopping.signal.aborted && certificates.current().client === client && !isOut(name)) {
        const query: string = tag === undefined ? '' : `?tag=${encodeURIComponent(tag)}`
        const answer: StateAnswer = await peer.call('GET', `/v1/servers/state${query}`, {
          timeoutMs: pullTimeoutMs,
          signal: stopping.signal,
        })
        if (isOut(name)) return
        await take(answer)
        if (tag === undefined) log.info({ server: name, url }, 'the state of another server is followed')
        metrics.count('starling_supervisor_state_pulls_total', { outcome: 'answered' })
        tag = answer.tag
      }
    } finally {
      peer.close()
    }
  }

  async function untilIn(name: string): Promise<void> {
    log.warn({ server: name }, 'a server that was revoked is followed no more')
    while (isOut(name) && !stopping.signal.aborted) {
      await waitForChange((wake) => store.subscribe(wake), maxOutMs, stopping.signal)
    }
  }

  async function take(answer: StateAnswer): Promise<void> {
    const theirs = answer.state
    if (theirs !== undefined) {
      await store.update((ours) => {
        const merged = mergeStates(ours, theirs)
        return hashOf(merged) === hashOf(ours) && merged.clock === ours.clock ? ours : merged
      })
    }
    service.addAcknowledged(answer.acknowledged)
  }

  async function follow(name: string): Promise<void> {
    let failures = 0
    while (!stopping.signal.aborted) {
      if (isOut(name)) {
        await untilIn(name)
        continue
      }
      const urls = store.current().servers[name]?.urls ?? []
      for (const url of urls) {
        try {
          await pullFrom(name, url)
          failures = 0
        } catch (error) {
          if (stopping.signal.aborted) return
          metrics.count('starling_supervisor_state_pulls_total', { outcome: 'failed' })
          failures += 1
          const line = { server: name, url, reason: describeError(error) }
          if (failures === 1) log.warn(line, 'another server cannot be followed now')
        }
      }
      const backoffMs = Math.min(maxRetryMs, firstRetryMs * 2 ** Math.min(failures, 10))
      await pause(backoffMs * (0.5 + rng.next()), stopping.signal)
    }
  }

  function followAll(): void {
    for (const name of Object.keys(store.current().servers)) {
      if (name !== store.name && !pulls.has(name)) pulls.set(name, follow(name))
    }
  }

  return {
    async start() {
      unsubscribe = store.subscribe(followAll)
      followAll()
    },
    async stop() {
      unsubscribe?.()
      stopping.abort()
      await Promise.all(pulls.values())
    },
  }
}
