import assert from 'node:assert/strict'
import type { MembershipMachine } from '../../../lib/membership/machine.ts'
import { defaultSettings } from '../../../lib/membership/settings.ts'
import type { SimCluster } from './cluster.ts'
import type { Sighting } from './sighting.ts'

/**
 * I5, QUEUES BOUNDED. There is one rumour a member at most; probes, relays and wants have caps of
 * their own. Holds at every step, whatever the network does: nothing is queued for anybody who is not a member.
 */
export function assertQueuesBounded(cluster: SimCluster, node: string, machine: MembershipMachine): void {
  const { members, rumours, suspicions, probes, relays, wants } = machine.gauges()
  const { maxConcurrentProbes, maxRelays, maxWants } = defaultSettings
  const isBounded =
    rumours <= members &&
    suspicions <= members &&
    probes <= maxConcurrentProbes &&
    relays <= maxRelays &&
    wants <= maxWants
  if (isBounded) return
  assert.fail(`I5: unbounded at ${node}: ${JSON.stringify(machine.gauges())}\n${cluster.trace(node)}`)
}

/**
 * I6, NUMBERS GROW. In one life of an observer the incarnation that it holds of a member never runs backwards, since
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
      `I6: ${key} ran backwards from ${JSON.stringify(before)} to ${JSON.stringify(sighting)}\n${cluster.trace(sighting.observer)}`,
    )
    highest.set(key, sighting)
  }
}

/**
 * I7, CONVERGENCE. Within a stated time after the last fault every running node believes the same of every node: those
 * that run are alive, those that don't are dead or have left, or are not known. It holds because push/pull and pings
 * to the dead go on for ever.
 */
export function findDisagreement(cluster: SimCluster): string | undefined {
  const running = cluster.names.filter((name) => cluster.kernel.conditionOf(name) === 'up')
  for (const observer of running) {
    for (const member of cluster.names) {
      const mistake = mistakeOf(cluster, observer, member)
      if (mistake !== undefined) return `I7: ${mistake}\n${cluster.trace(observer)}`
    }
  }
  return undefined
}

/** What `observer` believes of `member`, where that is wrong; undefined where it is not. */
export function mistakeOf(cluster: SimCluster, observer: string, member: string): string | undefined {
  const state = cluster.stateAt(observer, member)
  const condition = cluster.kernel.conditionOf(member)
  const isGone = state === undefined || state === 'dead' || state === 'left'
  if (condition === 'up' ? state === 'alive' : isGone) return undefined
  return `${observer} holds ${member} for ${state}, which is ${condition}`
}

/**
 * I4, NO FALSE DEATHS. A node that runs and can be reached is not held for dead by a majority. One lost probe in a row of
 * ping, three helpers and TCP accuses nobody, and an accused node has seconds to refute.
 */
export function findFalseDeath(cluster: SimCluster): string | undefined {
  const running = cluster.names.filter((name) => cluster.kernel.conditionOf(name) === 'up')
  for (const member of running) {
    const accusers = running.filter((observer) => cluster.stateAt(observer, member) === 'dead')
    if (2 * accusers.length > running.length) {
      const what = `${member} is held for dead by ${accusers.join(' ')}`
      return `I4: ${what}\n${cluster.trace(member)}\n${cluster.trace(accusers[0]!)}`
    }
  }
  return undefined
}

/** I3, DETECTION. A dead member is nobody's candidate after the bound: when each running node last learned that `member` is dead, after `sinceMs`; undefined while one hasn't. */
export function detectionMs(cluster: SimCluster, member: string, sinceMs: number): number | undefined {
  const running = cluster.names.filter((name) => name !== member && cluster.kernel.conditionOf(name) === 'up')
  if (!running.every((observer) => cluster.stateAt(observer, member) === 'dead')) return undefined
  const times = cluster.sightings.filter(
    (sighting) => sighting.member === member && sighting.to === 'dead' && sighting.atMs >= sinceMs,
  )
  return Math.max(...times.map(({ atMs }) => atMs - sinceMs))
}
