import { describeError } from '../../core/errors.ts'
import type { Clock, Logger, Metrics, Service } from '../../core/ports.ts'
import type { Acknowledgement } from '../../supervisor/api.ts'
import { type ClusterState, isRevoked } from '../../trust/cluster-state.ts'
import { advanceRotation, lateNodes, rotationOf } from '../../trust/rotation.ts'
import type { ClusterStore } from './cluster-store.ts'
import { resignRevocations } from './revoke.ts'
import { toldBy } from './told-view.ts'

const lookMs = 500
/** A stage lasts at least so long: a node may just be joining with what was true before. */
const minStageMs = 1_500
/** Before a CA is dropped, the proofs of new certificates have this long to reach every member by gossip. */
const proofSpreadMs = 3_000
/** Nodes that no membership knows count as there for so long after they were heard. */
const heardForMs = 90_000
/**
 * A server that has just started has heard nobody yet: so long every node that has joined counts as there, which is more than
 * a node takes to find it (cluster-part.ts).
 */
const settleMs = 30_000

/** What membership knows of nodes by their names; undefined where this server takes no part in it. */
export type PresenceOf = () =>
  | { readonly reachable: ReadonlySet<string>; readonly gone: ReadonlySet<string> }
  | undefined

export interface ConductorOptions {
  readonly store: ClusterStore
  readonly acknowledged: () => Readonly<Record<string, Acknowledgement>>
  readonly presence: PresenceOf
  readonly clock: Clock
  readonly log: Logger
  readonly metrics: Metrics
}

export interface Conductor extends Service {
  /** Who is waited for in the present stage, by name. */
  late(): readonly string[]
}

/** Moves a rotation on that this server conducts, when every node that is there works with the present stage. */
export function createConductor(options: ConductorOptions): Conductor {
  const { store, acknowledged, presence, clock, log, metrics } = options
  let timer: NodeJS.Timeout | undefined
  let turn: Promise<void> = Promise.resolve()
  let told = ''
  /** Since when nobody is late in this stage. */
  let quiet: { readonly stage: string; readonly sinceMs: number } | undefined
  let startedMs = clock.monotonicMs()

  function present(state: ClusterState): readonly string[] {
    const { reachable = new Set<string>(), gone = new Set<string>() } = presence() ?? {}
    const nowMs = clock.wallMs()
    const heard = Object.entries(acknowledged())
      .filter(([name, { heardMs }]) => nowMs - heardMs <= heardForMs && !gone.has(name))
      .map(([name]) => name)
    const isOut = (name: string) => {
      const node = state.nodes[name]
      return node !== undefined && (node.free || isRevoked(state, node.peerId))
    }
    const hasSettled = clock.monotonicMs() - startedMs >= settleMs
    const joined = hasSettled ? [] : Object.keys(state.nodes).filter((name) => !gone.has(name))
    // Without the new CA's keys a server could not come back; nodes can, by their tokens.
    const servers = rotationOf(state)?.kind === 'ca' ? Object.keys(state.servers) : []
    return [...new Set([...reachable, ...heard, ...joined, ...servers])].filter((name) => !isOut(name))
  }

  function lateIn(state: ClusterState): readonly string[] {
    return lateNodes(present(state), acknowledged(), toldBy(state).revision)
  }

  async function look(): Promise<void> {
    const state = store.current()
    const rotation = rotationOf(state)
    metrics.set('starling_rotation_running', rotation === undefined ? 0 : 1)
    if (rotation === undefined || rotation.conductor !== store.name) return
    const late = lateIn(state)
    const key = `${rotation.stage} ${rotation.back} ${late.join()}`
    if (late.length > 0 && key !== told) {
      log.info(
        { ...shown(rotation), waitingFor: late.slice(0, 20), count: late.length },
        'a rotation waits for nodes',
      )
    }
    told = key
    if (late.length > 0) {
      quiet = undefined
      return
    }
    if (quiet?.stage !== rotation.stage) quiet = { stage: rotation.stage, sinceMs: clock.monotonicMs() }
    const dropsCa = rotation.kind === 'ca' && (rotation.stage === 'switch' || rotation.back)
    if (clock.wallMs() - rotation.stageMs < minStageMs) return
    if (dropsCa && clock.monotonicMs() - quiet.sinceMs < proofSpreadMs) return
    const next = await store.update((now) => {
      if (now !== state) return now
      const moved = advanceRotation(now, { nowMs: clock.wallMs(), by: store.name })
      return resignRevocations(moved, store.name, now)
    })
    if (next === state) return
    const after = rotationOf(next)
    log.info(
      { audit: 'rotation', kind: rotation.kind, ...(after === undefined ? { ended: true } : shown(after)) },
      'audit: a rotation has come to its next stage',
    )
  }

  function soon(): void {
    turn = turn.then(look).catch((error) => {
      log.error({ reason: describeError(error) }, 'a rotation could not be moved on; it is tried again')
    })
  }

  return {
    late: () => (rotationOf(store.current()) === undefined ? [] : lateIn(store.current())),
    async start() {
      startedMs = clock.monotonicMs()
      timer = setInterval(soon, lookMs).unref()
    },
    async stop() {
      clearInterval(timer)
      await turn
    },
  }
}

function shown(rotation: { readonly stage: string; readonly back: boolean; readonly kind: string }): object {
  return { kind: rotation.kind, stage: rotation.stage, back: rotation.back }
}
