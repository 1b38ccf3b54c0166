import assert from 'node:assert/strict'
import type { MemberState } from '../../../lib/core/peer.ts'
import type { MembershipMachine } from '../../../lib/membership/machine.ts'
import { defaultSettings } from '../../../lib/membership/settings.ts'
import type { Sighting, SimCluster } from './cluster.ts'

/**
 * QUEUES BOUNDED. Rumours are kept per member and at most four accusers each; probes, relays and wants have caps of
 * their own. Holds at every step, whatever the network does: nothing is queued for anybody who is not a member.
 */
export function assertQueuesBounded(node: string, machine: MembershipMachine): void {
  const { members, rumours, suspicions, probes, relays, wants } = machine.gauges()
  const what = `${node}: ${JSON.stringify(machine.gauges())}`
  assert.ok(rumours <= 4 * members, `rumours unbounded at ${what}`)
  assert.ok(suspicions <= members, `suspicions unbounded at ${what}`)
  assert.ok(probes <= defaultSettings.maxConcurrentProbes, `probes unbounded at ${what}`)
  assert.ok(
    relays <= defaultSettings.maxRelays && wants <= defaultSettings.maxWants,
    `helpers unbounded at ${what}`,
  )
}

/**
 * INCARNATIONS GROW. In one life of an observer the incarnation that it holds of a member never runs backwards, since
 * a claim only replaces what is known when it is of the same incarnation or a higher one.
 */
export function assertIncarnationsGrow(
  cluster: SimCluster,
  livesOf: (observer: string, atMs: number) => number,
): void {
  const highest = new Map<string, Sighting>()
  for (const sighting of cluster.sightings) {
    const key = `${sighting.observer}#${livesOf(sighting.observer, sighting.atMs)} of ${sighting.member}`
    const before = highest.get(key)
    assert.ok(
      before === undefined || sighting.incarnation >= before.incarnation,
      `${key} ran backwards from ${JSON.stringify(before)} to ${JSON.stringify(sighting)}`,
    )
    highest.set(key, sighting)
  }
}

/**
 * CONVERGENCE. Within a stated time after the last fault every running node believes the same of every node: those
 * that run are alive, those that don't are dead or have left, or are not known. It holds because push/pull and pings
 * to the dead go on for ever.
 */
export function findDisagreement(cluster: SimCluster): string | undefined {
  const { kernel } = cluster
  const running = cluster.names.filter((name) => kernel.conditionOf(name) === 'up')
  for (const observer of running) {
    for (const member of cluster.names) {
      const state = cluster.stateAt(observer, member)
      const isRunning = kernel.conditionOf(member) === 'up'
      const isRight = isRunning ? state === 'alive' : isGone(state)
      if (!isRight) return `${observer} holds ${member} for ${state}, which is ${kernel.conditionOf(member)}`
    }
  }
  return undefined
}

function isGone(state: MemberState | undefined): boolean {
  return state === undefined || state === 'dead' || state === 'left'
}

/**
 * NO FALSE DEATHS. A node that runs and can be reached is not held for dead by a majority. One lost probe in a row of
 * ping, three helpers and TCP accuses nobody, and an accused node has seconds to refute.
 */
export function findFalseDeath(cluster: SimCluster): string | undefined {
  const running = cluster.names.filter((name) => cluster.kernel.conditionOf(name) === 'up')
  for (const member of running) {
    const accusers = running.filter((observer) => cluster.stateAt(observer, member) === 'dead')
    if (2 * accusers.length > running.length) return `${member} is held for dead by ${accusers.join(' ')}`
  }
  return undefined
}

/** DETECTION. When each running node last learned that `member` is dead, after `sinceMs`; undefined while one hasn't. */
export function detectionMs(cluster: SimCluster, member: string, sinceMs: number): number | undefined {
  const running = cluster.names.filter((name) => name !== member && cluster.kernel.conditionOf(name) === 'up')
  if (!running.every((observer) => cluster.stateAt(observer, member) === 'dead')) return undefined
  const times = cluster.sightings.filter(
    (sighting) => sighting.member === member && sighting.to === 'dead' && sighting.atMs >= sinceMs,
  )
  return Math.max(...times.map(({ atMs }) => atMs - sinceMs))
}
