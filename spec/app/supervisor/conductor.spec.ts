import assert from 'node:assert/strict'
import { afterEach, describe, it } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import type { ClusterStore } from '../../../lib/app/supervisor/cluster-store.ts'
import { type Conductor, createConductor, type PresenceOf } from '../../../lib/app/supervisor/conductor.ts'
import { toldBy } from '../../../lib/app/supervisor/told-view.ts'
import type { PeerId } from '../../../lib/core/peer-id.ts'
import { createValue } from '../../../lib/core/value.ts'
import { withNode, withServer } from '../../../lib/trust/cluster-changes.ts'
import { type ClusterState, emptyState } from '../../../lib/trust/cluster-state.ts'
import { rotationOf, startCaRotation, startPskRotation } from '../../../lib/trust/rotation.ts'
import { eventually } from '../../support/eventually.ts'
import { recordingLog } from '../../support/fake-cluster.ts'
import { countingMetrics, movableClock } from '../../support/test-supervisor.ts'
import { makeTestAuthority } from '../../support/test-trust.ts'

const me = 'server-1'
const password = { salt: '', hash: '' }
/** Longer than two looks of a conductor. */
const someLooksMs = 1_300

describe('the conductor of a rotation', () => {
  let conductor: Conductor | undefined
  afterEach(() => conductor?.stop())

  async function clusterOf(nodes: readonly string[], servers: readonly string[]): Promise<ClusterState> {
    const { serverCa, clientCa } = await makeTestAuthority()
    const authority = { serverCa, clientCa, serverCaPem: serverCa.certPem, clientCaPem: clientCa.certPem }
    let state = emptyState({ ...authority, keyring: ['aa'] }, me)
    for (const name of nodes) {
      const role = servers.includes(name) ? 'server' : 'agent'
      state = withNode(state, name, { password, peerId: `id of ${name}` as PeerId, role, p2p: [] }, me)
    }
    for (const name of servers) state = withServer(state, name, [`https://${name}:9345`], me)
    return state
  }

  async function conduct(state: ClusterState, presence: ReturnType<PresenceOf> = undefined) {
    const value = createValue(state)
    const clock = movableClock()
    const acknowledged: Record<string, { revision: string; heardMs: number }> = {}
    const store: ClusterStore = {
      name: me,
      current: value.current,
      subscribe: value.subscribe,
      async update(change) {
        value.set(change(value.current()))
        return value.current()
      },
    }
    conductor = createConductor({
      store,
      acknowledged: () => acknowledged,
      presence: () => presence,
      clock,
      log: recordingLog(),
      metrics: countingMetrics(),
    })
    await conductor.start()
    const stage = () => rotationOf(value.current())?.stage
    return {
      clock,
      late: () => conductor?.late(),
      stage,
      acknowledge(...names: readonly string[]) {
        const { revision } = toldBy(value.current())
        for (const name of names) acknowledged[name] = { revision, heardMs: clock.wallMs() }
      },
      async assertStays(wanted: string) {
        await delay(someLooksMs)
        assert.equal(stage(), wanted)
      },
    }
  }

  const long = 60_000
  const begunLongAgo = { nowMs: Date.now() - long, by: me }

  it('that has just started waits for everybody who has joined, though it has heard nobody yet', async () => {
    const state = startPskRotation(await clusterOf([me, 'a'], [me]), 'bb', begunLongAgo)
    const run = await conduct(state, { reachable: new Set([me]), gone: new Set() })
    run.acknowledge(me)
    await run.assertStays('spread')
    assert.deepEqual(run.late(), ['a'])
    run.acknowledge(me, 'a')
    await eventually(() => run.stage() === 'switch')
  })

  it('waits half a minute for who does not come, and not for who is known to be dead', async () => {
    const state = startPskRotation(await clusterOf([me, 'a', 'dead'], [me]), 'bb', begunLongAgo)
    const run = await conduct(state, { reachable: new Set([me]), gone: new Set(['dead']) })
    run.acknowledge(me)
    await run.assertStays('spread')
    assert.deepEqual(run.late(), ['a'])
    run.clock.move(31_000)
    run.acknowledge(me)
    await eventually(() => run.stage() === 'switch')
  })

  it('of the CA waits for every server, also for one that is dead, until its name is set free', async () => {
    const { serverCa, clientCa } = await makeTestAuthority()
    const before = await clusterOf([me, 'server-2'], [me, 'server-2'])
    const state = startCaRotation(before, { serverCa, clientCa, crossSignedPem: '' }, begunLongAgo)
    const presence = { reachable: new Set([me]), gone: new Set(['server-2']) }
    const run = await conduct(state, presence)
    run.clock.move(31_000)
    run.acknowledge(me)
    await run.assertStays('spread')
    assert.deepEqual(run.late(), ['server-2'])
    await conductor?.stop()
    const node = state.nodes['server-2']
    assert.ok(node)
    const freed = { ...state, nodes: { ...state.nodes, 'server-2': { ...node, free: true } } }
    const later = await conduct(freed, presence)
    later.acknowledge(me)
    await eventually(() => later.stage() === 'switch')
  })
})
