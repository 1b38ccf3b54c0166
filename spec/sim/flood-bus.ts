import { createHash } from 'node:crypto'
import { decodeDelta, encodeDelta } from '../../lib/catalog/delta.ts'
import { digestOf } from '../catalog/support.ts'
import type { SimKernel } from './kernel.ts'
import type { Hearer, SimCatalog } from './sim-catalog.ts'

const fanOut = 4

/** Who there is, and what is between them. */
interface Flock {
  readonly kernel: SimKernel
  readonly nodes: readonly SimCatalog[]
  alive(): SimCatalog[]
}

/** Carries the deltas of simulated catalogs over the lossy network: everybody hands on what is new to a few others. */
export class FloodBus {
  readonly #cluster: Flock
  readonly #tamperRate: number
  readonly #hear: Hearer
  readonly #seen = new Map<SimCatalog, Set<string>>()

  constructor(parts: {
    cluster: Flock
    tamperRate: number
    hear: Hearer
  }) {
    this.#cluster = parts.cluster
    this.#tamperRate = parts.tamperRate
    this.#hear = parts.hear
  }

  /** A node begins a new life. */
  forget(node: SimCatalog): void {
    this.#seen.delete(node)
  }

  publish(node: SimCatalog, registry: string, message: Uint8Array): void {
    const { kernel, nodes } = this.#cluster
    this.#isNew(node, message)
    const others = this.#cluster.alive().filter((other) => other !== node && other.life?.topics.has(registry))
    const frame = Buffer.concat([Uint8Array.of(registry.length), Buffer.from(registry), message])
    // The next one of a ring gets every message, as a mesh reaches everybody; the others are chance.
    const next = others.findIndex((other) => nodes.indexOf(other) > nodes.indexOf(node))
    for (let copy = 0; copy < fanOut && others.length > 0; copy += 1) {
      const index = copy === 0 ? Math.max(0, next) : Math.floor(kernel.rng.next() * others.length)
      const [to] = others.splice(index, 1)
      if (to !== undefined) kernel.send(node.name, to.name, this.#tampered(frame, registry, message))
    }
  }

  receive(node: SimCatalog, from: string, bytes: Uint8Array): void {
    const sender = this.#cluster.nodes.find((other) => other.name === from)
    const nameBytes = bytes[0] ?? 0
    const registry = Buffer.from(bytes.subarray(1, 1 + nameBytes)).toString()
    const message = bytes.subarray(1 + nameBytes)
    if (sender === undefined || node.life?.topics.has(registry) !== true || !this.#isNew(node, message))
      return
    const verdict = this.#hear(node, registry, sender.identity.peerId, message)
    if (verdict === 'accept') this.publish(node, registry, message)
  }

  #isNew(node: SimCatalog, message: Uint8Array): boolean {
    const seen = this.#seen.get(node) ?? new Set()
    this.#seen.set(node, seen)
    const before = seen.size
    return seen.add(createHash('sha256').update(message).digest('hex')).size > before
  }

  /** Now and then a relay adds to a delta what its origin never announced; it can't sign that. */
  #tampered(frame: Uint8Array, registry: string, message: Uint8Array): Uint8Array {
    if (this.#cluster.kernel.rng.next() >= this.#tamperRate) return frame
    const delta = decodeDelta(message)
    if (typeof delta === 'string' || delta.change === undefined) return frame
    const lie = Buffer.from(digestOf('a lie').slice(7), 'hex')
    const change = { ...delta.change, addDigests: Buffer.concat([delta.change.addDigests, lie]) }
    return Buffer.concat([
      Uint8Array.of(registry.length),
      Buffer.from(registry),
      encodeDelta({ ...delta, change }),
    ])
  }
}
