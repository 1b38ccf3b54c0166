import assert from 'node:assert/strict'
import { AnnouncementPace } from '../../../lib/catalog/announcement-pace.ts'
import { digestOf, makeIdentity, TestOrigin, tagPair } from '../../catalog/support.ts'
import { Histogram } from '../histogram.ts'
import { segmentDelayMs } from '../network-model.ts'
import { seededRng } from '../random.ts'
import type { ScenarioOptions, SimScenario } from '../scenario.ts'
import { Announcer } from './announcer.ts'
import { measuredCosts } from './costs.ts'
import { GossipOverlay } from './overlay.ts'
import { SampledCatalog } from './sampled-catalog.ts'
import { drawTopology } from './topology.ts'

const secondMs = 1000
const minuteMs = 60_000
/** Headers of yamux, TLS, TCP and IPv4 around a write that has a segment of its own. */
const overheadBytes = 86
/** A registry is compared with a neighbour so often, each sends about half of it. */
const comparisonMs = 30_000
/** Nodes whose catalog is the shipped one. */
const samples = 3
/** All deliveries of a message, p99. */
const deliveredWithinMs = 2_000
/** Blobs of an image, in the deltas in which a pull announces them. */
const blobsOfPull = [3, 3, 2]

interface Plan {
  readonly lossRate: number
  readonly durationMs: number
  /** Before bytes and work are counted, so that the last messages of the first pulls are under way. */
  readonly warmUpMs: number
  /** Pulls begin so often, over all nodes. */
  readonly pullsPerSecond: number
  /** Every pull is of the same image. */
  readonly isSame: boolean
}

/** Gossip between many nodes, with the deltas of the shipped code and a few shipped replicas that take them. */
class Announcements {
  readonly overlay: GossipOverlay
  readonly delivered = new Histogram(1)
  /** From a change to the message that tells it. */
  readonly waited = new Histogram(1)
  readonly #options: ScenarioOptions
  readonly #rng: ReturnType<typeof seededRng>
  readonly #announcers = new Map<number, Announcer>()
  readonly #paces: readonly AnnouncementPace[]
  readonly #bytes = new Map<number, Uint8Array>()
  readonly #sentMs: number[] = []
  readonly #heardBy: number[] = []
  readonly #sampled = new Map<number, SampledCatalog>()
  readonly #due: { readonly atMs: number; readonly run: () => void }[] = []

  constructor(options: ScenarioOptions, lossRate: number) {
    const { nodes, seed } = options
    this.#options = options
    this.#rng = seededRng(seed)
    const identity = (node: number) => makeIdentity(`${seed} ${node}`)
    this.#paces = Array.from({ length: nodes }, () => new AnnouncementPace())
    const peerIds = Array.from({ length: nodes }, (_, node) => identity(node).peerId)
    for (let node = 0; node < Math.min(samples, nodes); node++)
      this.#sampled.set(node, new SampledCatalog(peerIds[node]!, peerIds))
    this.overlay = new GossipOverlay({
      nodes,
      edges: drawTopology(nodes, this.#rng),
      seed,
      costs: measuredCosts,
      cores: 'own',
      delayMs: (rng) => segmentDelayMs(rng, lossRate),
      onDelivery: (node, message, atMs) => this.#hear(node, message, atMs),
    })
    this.overlay.run(5 * secondMs)
  }

  get messages(): number {
    return this.#sentMs.length
  }

  /** A node pulls an image, whose blobs come one after the other. */
  pull(node: number, image: string): void {
    const announcer = this.#announcerOf(node)
    let blob = 0
    for (const [part, count] of blobsOfPull.entries()) {
      this.#at(part * (100 + 400 * this.#rng.next()), () => {
        const add = Array.from({ length: count }, () => digestOf(`${image} ${blob++}`))
        const isLast = part === blobsOfPull.length - 1
        announcer.change(add, isLast ? [tagPair('library/app', image, add[0]!)] : [])
      })
    }
  }

  draw(): number {
    return Math.floor(this.#rng.next() * this.#options.nodes)
  }

  run(durationMs: number): void {
    const untilMs = this.overlay.nowMs + durationMs
    for (;;) {
      const next = this.#due[0]
      if (next === undefined || next.atMs > untilMs) break
      this.#due.shift()
      this.overlay.run(next.atMs)
      next.run()
    }
    this.overlay.run(untilMs)
  }

  /** I1, I2 and I7: all nodes have had every message, and the sampled catalogs know what the origins have signed. */
  assertAgree(): void {
    const { nodes, seed } = this.#options
    const lacking = this.#heardBy.findIndex((count) => count < nodes - 1)
    assert.equal(
      lacking,
      -1,
      `I7: seed ${seed}: message ${lacking} has reached ${this.#heardBy[lacking]} nodes`,
    )
    for (const [node, catalog] of this.#sampled) {
      const others = [...this.#announcers].filter(([other]) => other !== node)
      catalog.assertKnows(others.map(([, { origin }]) => origin))
    }
    const lateMs = this.delivered.quantile(0.99)
    assert.ok(!(lateMs > deliveredWithinMs), `seed ${seed}: p99 of deliveries ${lateMs} ms`)
  }

  comparisonBytes(): number {
    return this.#sampled.get(0)!.comparisonBytes()
  }

  #announcerOf(node: number): Announcer {
    const known = this.#announcers.get(node)
    if (known !== undefined) return known
    const origin = new TestOrigin(makeIdentity(`${this.#options.seed} ${node}`))
    const announcer = new Announcer(origin, this.#paces[node]!, {
      nowMs: () => this.overlay.nowMs,
      rng: this.#rng,
      after: (delayMs, run) => this.#at(delayMs, run),
      publish: (bytes) => this.#publish(node, bytes),
      waited: (durationMs) => this.waited.add(durationMs),
    })
    this.#announcers.set(node, announcer)
    return announcer
  }

  #at(afterMs: number, run: () => void): void {
    const atMs = this.overlay.nowMs + afterMs
    const at = this.#due.findIndex((other) => other.atMs > atMs)
    this.#due.splice(at === -1 ? this.#due.length : at, 0, { atMs, run })
  }

  #publish(node: number, bytes: Uint8Array): void {
    this.#sentMs.push(this.overlay.nowMs)
    this.#heardBy.push(0)
    const message = this.#sentMs.length - 1
    this.#bytes.set(message, bytes)
    assert.equal(this.overlay.publish(node, bytes.length), message)
  }

  #hear(node: number, message: number, atMs: number): boolean {
    this.delivered.add(atMs - this.#sentMs[message]!)
    this.#heardBy[message]!++
    this.#paces[node]!.heard(this.overlay.nowMs)
    this.#sampled.get(node)?.receive(this.#bytes.get(message)!)
    return true
  }
}

function scenario(name: string, title: string, planOf: (options: ScenarioOptions) => Plan): SimScenario {
  return {
    name,
    title,
    run(options) {
      const plan = planOf(options)
      const play = new Announcements(options, plan.lossRate)
      const { overlay } = play
      const everyMs = secondMs / plan.pullsPerSecond
      let pulls = 0
      const pullFor = (durationMs: number): void => {
        for (const last = pulls + Math.max(1, Math.round(durationMs / everyMs)); pulls < last; pulls++) {
          const node = plan.isSame ? pulls % options.nodes : play.draw()
          play.pull(node, plan.isSame ? 'same' : `image-${pulls}`)
          play.run(everyMs)
          if (pulls % 100 === 99) options.log(`${pulls + 1} pulls`)
        }
      }
      pullFor(plan.warmUpMs)
      const workedBefore = overlay.cores.workedMs.slice()
      const [bytesBefore, writesBefore] = [overlay.sentBytes.slice(), overlay.sentWrites.slice()]
      const startMs = overlay.nowMs
      pullFor(plan.durationMs)
      const busySeconds = (overlay.nowMs - startMs) / secondMs
      const cpu = overlay.cores.workedMs.map((worked, at) => (worked - workedBefore[at]!) / busySeconds / 10)
      const kibibytes = overlay.sentBytes.map((bytes, at) => {
        const writes = overlay.sentWrites[at]! - writesBefore[at]!
        return (bytes - bytesBefore[at]! + writes * overheadBytes) / busySeconds / 1024
      })
      play.run(10 * secondMs)
      play.assertAgree()
      const copies = overlay.counts.copies / Math.max(1, play.messages) / options.nodes
      const comparison = (play.comparisonBytes() / comparisonMs / 1024) * secondMs
      return {
        columns: [
          'scenario',
          'nodes',
          'simulated s',
          'messages',
          'announced after: p50 ms',
          'p99 ms',
          'delivered: p50 ms',
          'p99 ms',
          'max ms',
          'copies a node',
          'KiB/s a node',
          'most',
          'CPU % a node',
          'most',
          'comparisons KiB/s',
        ],
        rows: [
          [
            name,
            options.nodes,
            Math.round(busySeconds),
            play.messages,
            ...[0.5, 0.99].map((share) => play.waited.quantile(share).toFixed(0)),
            ...[0.5, 0.99, 1].map((share) => play.delivered.quantile(share).toFixed(0)),
            copies.toFixed(1),
            ...[kibibytes, cpu].flatMap((values) => [
              meanOf(values).toFixed(1),
              greatestOf(values).toFixed(1),
            ]),
            comparison.toFixed(2),
          ],
        ],
      }
    },
  }
}

function meanOf(values: Float64Array): number {
  return values.reduce((sum, one) => sum + one, 0) / values.length
}

function greatestOf(values: Float64Array): number {
  return values.reduce((most, one) => Math.max(most, one), 0)
}

/** Two images a second, somewhere. */
const calm = ({ nodes, quick }: ScenarioOptions): Plan => ({
  lossRate: 0,
  durationMs: quick ? 3_000 : nodes > 1000 ? 10_000 : minuteMs,
  warmUpMs: 3_000,
  pullsPerSecond: 2,
  isSame: false,
})

export const announce = scenario('announce', 'new images on two nodes a second', calm)
export const announceLoss2 = scenario(
  'announce-loss-2',
  'the same, 2 % of all segments come again later',
  (options) => ({
    ...calm(options),
    lossRate: 0.02,
  }),
)
export const announceLoss10 = scenario('announce-loss-10', 'the same with 10 %', (options) => ({
  ...calm(options),
  lossRate: 0.1,
}))
export const sameImage = scenario(
  'same-image',
  'all nodes pull the same new image within a minute',
  ({ nodes, quick }) => ({
    lossRate: 0,
    durationMs: quick ? 3_000 : nodes > 1000 ? 2_000 : minuteMs,
    warmUpMs: 3_000,
    pullsPerSecond: nodes / 60,
    isSame: true,
  }),
)
