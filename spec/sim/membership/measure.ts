import assert from 'node:assert/strict'
import type { Table } from '../../bench/benchmark.ts'
import { Histogram } from '../histogram.ts'
import type { SimCluster } from './cluster.ts'
import { mistakeOf } from './invariants.ts'
import type { Sighting } from './sighting.ts'

/** Seal, signature, numbers and the headers of IPv4 and UDP around the body of a datagram. */
const overheadBytes = 188
/** A node that came back so recently may still meet news of its earlier life. */
const graceMs = 60_000
const secondMs = 1000

interface Outage {
  readonly sinceMs: number
  readonly name: string
  /** Of the last one who learned of it. */
  lastMs: number
  witnesses: number
}

/** Watches a cluster and turns what its nodes believe, and when, into the figures of a table. */
export class Measure {
  readonly #cluster: SimCluster
  readonly #startMs: number
  readonly #before: { bytes: number; datagrams: number; cpuMs: number }[]
  readonly #outages = new Map<string, Outage>()
  readonly #ended: Outage[] = []
  /** From an outage to each node that learned of it. */
  readonly #detection = new Histogram()
  readonly #changedMs = new Map<string, number>()
  readonly #backSinceMs = new Map<string, number>()
  readonly #wronged = new Set<string>()
  #graceUntilMs = 0
  #falseDeaths = 0
  #falseSuspicions = 0
  #lastFaultMs: number
  /** Who took longest to learn of an outage. */
  #slowest = { observer: '', member: '', afterMs: 0 }

  constructor(cluster: SimCluster) {
    this.#cluster = cluster
    this.#startMs = cluster.kernel.nowMs()
    this.#lastFaultMs = this.#startMs
    this.#before = cluster.names.map((name) => ({ ...cluster.kernel.spentBy(name) }))
    cluster.onSighting = (sighting) => this.#see(sighting)
  }

  /** Members that were declared dead while they ran and could be reached. */
  get wronged(): ReadonlySet<string> {
    return this.#wronged
  }

  get outages(): readonly Outage[] {
    return [...this.#ended, ...this.#outages.values()]
  }

  /** The node was killed or has vanished just now. */
  down(name: string): void {
    const sinceMs = this.#cluster.kernel.nowMs()
    this.#outages.set(name, { sinceMs, name, lastMs: Number.NaN, witnesses: 0 })
    this.#lastFaultMs = sinceMs
  }

  /** The node runs again. */
  back(name: string): void {
    const outage = this.#outages.get(name)
    if (outage !== undefined) this.#ended.push(outage)
    this.#outages.delete(name)
    this.#lastFaultMs = this.#cluster.kernel.nowMs()
    this.#backSinceMs.set(name, this.#lastFaultMs)
  }

  /** Something else was done to the network, or undone. */
  fault(): void {
    this.#lastFaultMs = this.#cluster.kernel.nowMs()
    this.#graceUntilMs = this.#lastFaultMs + graceMs
  }

  /** The first of a sample of the running nodes that is wrong about somebody; undefined where none is. */
  #findMistake(observers: number): { observer: string; member: string } | undefined {
    const { kernel, names } = this.#cluster
    const running = names.filter((name) => kernel.conditionOf(name) === 'up')
    const step = Math.max(1, Math.floor(running.length / observers))
    for (let at = 0; at < running.length; at += step) {
      const observer = running[at]!
      const member = names.find((name) => mistakeOf(this.#cluster, observer, name) !== undefined)
      if (member !== undefined) return { observer, member }
    }
    return undefined
  }

  /** I7: lets time pass until all agree. @throws AssertionError after `withinMs`, with the trace of one who is wrong */
  converge(
    withinMs: number,
    run = (durationMs: number) => this.#cluster.kernel.run(this.#cluster.kernel.nowMs() + durationMs),
  ): void {
    const { kernel, names } = this.#cluster
    const untilMs = kernel.nowMs() + withinMs
    const look = () => this.#findMistake(Math.min(50, names.length)) ?? this.#findMistake(names.length)
    let wrong = look()
    while (wrong !== undefined && kernel.nowMs() < untilMs) {
      run(secondMs)
      // To look at all of them for one that is known to be wrong still would take longer than the simulation.
      if (mistakeOf(this.#cluster, wrong.observer, wrong.member) === undefined) wrong = look()
    }
    if (wrong === undefined) return
    const { observer, member } = wrong
    const what = mistakeOf(this.#cluster, observer, member)
    assert.fail(`I7: seed ${kernel.seed}: ${what}, ${withinMs} ms later\n${this.#cluster.trace(observer)}`)
  }

  /** I3: of all that had to learn of an outage, 99 % did so within the bound. @throws AssertionError with the trace of the slowest */
  assertDetected(withinMs: number): void {
    const late = this.#detection.quantile(0.99)
    if (!(late > withinMs)) return
    const { observer, member, afterMs } = this.#slowest
    const what = `p99 ${late} ms of ${withinMs}; ${observer} learned of ${member} after ${afterMs.toFixed(0)} ms`
    assert.fail(`I3: seed ${this.#cluster.kernel.seed}: ${what}\n${this.#cluster.trace(observer)}`)
  }

  /** I4: nobody who ran and could be reached was declared dead by a majority. @throws AssertionError */
  assertNobodyWronged(): void {
    const [member] = this.#wronged
    if (member === undefined) return
    const what = `${member} was declared dead though it lived (${this.#falseDeaths} times in all)`
    assert.fail(`I4: seed ${this.#cluster.kernel.seed}: ${what}\n${this.#cluster.trace(member)}`)
  }

  row(scenario: string): Table {
    const { kernel, names } = this.#cluster
    const seconds = (kernel.nowMs() - this.#startMs) / secondMs
    const spent = names.map((name, index) => {
      const now = kernel.spentBy(name)
      const before = this.#before[index] ?? { bytes: 0, datagrams: 0, cpuMs: 0 }
      const datagrams = now.datagrams - before.datagrams
      const kibibytes = (now.bytes - before.bytes + datagrams * overheadBytes) / 1024
      return { kibibytes: kibibytes / seconds, cpu: (now.cpuMs - before.cpuMs) / seconds / 10 }
    })
    const mean = (values: readonly number[]) => values.reduce((sum, one) => sum + one, 0) / values.length
    const greatest = (values: readonly number[]) => values.reduce((most, one) => Math.max(most, one), 0)
    const [kibibytes, cpu] = [spent.map((one) => one.kibibytes), spent.map((one) => one.cpu)]
    const last = new Histogram()
    for (const { sinceMs, lastMs } of this.outages) if (!Number.isNaN(lastMs)) last.add(lastMs - sinceMs)
    const settled = new Histogram()
    for (const changedMs of this.#changedMs.values()) settled.add(Math.max(0, changedMs - this.#lastFaultMs))
    return {
      columns: [
        'scenario',
        'nodes',
        'simulated s',
        'known dead: p50 s',
        'p99 s',
        'max s',
        'by all: p50 s',
        'max s',
        'false deaths',
        'false suspicions',
        'agree: p50 s',
        'p99 s',
        'max s',
        'KiB/s a node',
        'most',
        'CPU % a node',
        'most',
      ],
      rows: [
        [
          scenario,
          names.length,
          Math.round(seconds),
          ...[this.#detection.quantile(0.5), this.#detection.quantile(0.99), this.#detection.quantile(1)].map(
            inSeconds,
          ),
          ...[last.quantile(0.5), last.quantile(1)].map(inSeconds),
          this.#falseDeaths,
          this.#falseSuspicions,
          ...[settled.quantile(0.5), settled.quantile(0.99), settled.quantile(1)].map(inSeconds),
          mean(kibibytes).toFixed(1),
          greatest(kibibytes).toFixed(1),
          mean(cpu).toFixed(2),
          greatest(cpu).toFixed(2),
        ],
      ],
    }
  }

  #see({ atMs, observer, member, to, from }: Sighting): void {
    this.#changedMs.set(observer, atMs)
    const outage = this.#outages.get(member)
    if (outage !== undefined) {
      const isLost = to === 'dead' && from !== 'dead'
      if (!isLost) return
      const afterMs = atMs - outage.sinceMs
      this.#detection.add(afterMs)
      if (afterMs > this.#slowest.afterMs) this.#slowest = { observer, member, afterMs }
      outage.lastMs = atMs
      outage.witnesses++
      return
    }
    if (to !== 'dead' && to !== 'suspect' && to !== 'stalled') return
    const { kernel } = this.#cluster
    const isReachable = kernel.isOpen(observer, member) && kernel.isOpen(member, observer)
    const isBack = atMs - (this.#backSinceMs.get(member) ?? Number.NEGATIVE_INFINITY) < graceMs
    if (kernel.conditionOf(member) !== 'up' || !isReachable || isBack || atMs < this.#graceUntilMs) return
    if (to !== 'dead') this.#falseSuspicions++
    else {
      this.#falseDeaths++
      this.#wronged.add(member)
    }
  }
}

function inSeconds(valueMs: number): string {
  return Number.isNaN(valueMs) ? '–' : (valueMs / secondMs).toFixed(1)
}
