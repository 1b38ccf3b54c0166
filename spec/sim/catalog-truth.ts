import assert from 'node:assert/strict'
import type { Digest } from '../../lib/core/digest.ts'
import { digestOf } from '../catalog/support.ts'
import type { CatalogCluster } from './catalog-cluster.ts'
import type { SimCatalog } from './sim-catalog.ts'

/** The registry that the simulated nodes mirror. */
export const hub = 'docker.io'
export const onlyHub = { names: [hub], wildcard: false }

/** The truth: what each node's store holds now, and all that it ever held. */
export class Stores {
  readonly #now = new Map<SimCatalog, Map<string, Digest>>()
  readonly #ever = new Map<SimCatalog, Set<Digest>>()
  readonly images = new Set<string>()

  of(node: SimCatalog): Map<string, Digest> {
    const known = this.#now.get(node) ?? new Map<string, Digest>()
    this.#now.set(node, known)
    return known
  }

  everHeld(node: SimCatalog, digest: Digest): boolean {
    return this.#ever.get(node)?.has(digest) === true
  }

  /** An image is in the store; nobody was told. */
  fill(node: SimCatalog, tag: string, content: string): Digest {
    const digest = digestOf(content)
    this.of(node).set(tag, digest)
    this.#ever.set(node, (this.#ever.get(node) ?? new Set()).add(digest))
    this.images.add(tag)
    return digest
  }

  async put(node: SimCatalog, tag: string, content: string): Promise<void> {
    const digest = this.fill(node, tag, content)
    const image = { namespace: 'k8s.io', name: `${hub}/app/${tag}:1`, target: digest }
    const blobs = [{ digest, sizeBytes: 1, sources: [], children: [] }]
    await node.life?.catalog.applyStoreChange({ type: 'image-put', image, blobs })
  }

  async remove(node: SimCatalog, tag: string): Promise<void> {
    if (!this.of(node).delete(tag)) return
    const name = `${hub}/app/${tag}:1`
    await node.life?.catalog.applyStoreChange({ type: 'image-deleted', namespace: 'k8s.io', name })
  }

  /** What a store tells after a start. */
  async snapshot(node: SimCatalog): Promise<void> {
    const held = [...this.of(node)]
    await node.life?.catalog.applyStoreChange({
      type: 'snapshot',
      images: held.map(([tag, target]) => ({
        namespace: 'k8s.io',
        name: `${hub}/app/${tag}:1`,
        target,
      })),
      blobs: [...new Set(held.map(([, digest]) => digest))].map((digest) => ({
        digest,
        sizeBytes: 1,
        sources: [],
        children: [],
      })),
    })
  }

  digests(): Set<Digest> {
    return new Set([...this.#ever.values()].flatMap((digests) => [...digests]))
  }

  holds(node: SimCatalog, digest: Digest): boolean {
    return [...this.of(node).values()].includes(digest)
  }
}

/**
 * I2: no node believes a digest or tag of an origin that the origin never announced. It holds because an inventory is
 * taken only with the origin's signature over a hash of all of it.
 */
export function assertNothingInvented(cluster: CatalogCluster, stores: Stores): void {
  for (const node of cluster.alive()) {
    for (const digest of [...stores.digests(), digestOf('a lie')]) {
      const { peers } = node.life!.catalog.findHolders(hub, digest, 1000)
      for (const peer of peers) {
        const origin = cluster.nodes.find((other) => other.identity.peerId === peer)
        assert.ok(origin, 'a holder is a member')
        const what = `I2: seed ${cluster.kernel.seed}: ${node.name} believes ${digest} of ${origin.name}`
        assert.ok(stores.everHeld(origin, digest), `${what}\n${cluster.trace.of(node.name)}`)
      }
    }
  }
}

/** I6: the sequences of an origin never run backwards within an epoch; the cluster watches every message for it. */
export function assertNeverBackwards(cluster: CatalogCluster): void {
  assert.equal(cluster.violations.length, 0, `I6: seed ${cluster.kernel.seed}: ${cluster.violations[0]}`)
}

/** I1, as text: where it does not hold yet. Every live node's inventory is equal everywhere, and true. */
function differences(cluster: CatalogCluster, stores: Stores): string[] {
  const found: string[] = []
  const alive = cluster.alive()
  for (const node of alive) {
    const { catalog } = node.life!
    for (const digest of stores.digests()) {
      const expected = alive.filter((other) => other !== node && stores.holds(other, digest))
      const { holders, peers } = catalog.findHolders(hub, digest, 1000)
      const names = alive.filter((other) => peers.includes(other.identity.peerId))
      if (holders !== expected.length || names.length !== expected.length) {
        found.push(
          `${node.name} knows ${names.map((n) => n.name)} for ${digest.slice(7, 12)}, not ${expected.map((n) => n.name)}`,
        )
      } else if (names.some((other) => !expected.includes(other))) {
        found.push(`${node.name} names wrong holders of ${digest}`)
      }
    }
    for (const tag of stores.images) {
      const sides = new Map<Digest, number>()
      for (const other of alive) {
        const digest = stores.of(other).get(tag)
        if (digest !== undefined) sides.set(digest, (sides.get(digest) ?? 0) + 1)
      }
      const answer = catalog.findTag(hub, `app/${tag}`, '1')
      const known =
        answer.state === 'unknown'
          ? []
          : answer.state === 'agreed'
            ? [[answer.digest, answer.holders] as const]
            : answer.sides.map((side) => [side.digest, side.holders] as const)
      const same = known.length === sides.size && known.every(([digest, n]) => sides.get(digest) === n)
      if (!same) found.push(`${node.name} has tag ${tag} as ${JSON.stringify(answer)}`)
    }
  }
  return found
}

/** Runs on until I1 holds; the bound allows for two of the periodic comparisons after the last fault. */
export async function assertConverges(
  cluster: CatalogCluster,
  stores: Stores,
  withinMs: number,
): Promise<number> {
  for (let waitedMs = 0; ; waitedMs += 500) {
    const found = differences(cluster, stores)
    if (found.length === 0) return waitedMs
    if (waitedMs >= withinMs) {
      const what = `I1: seed ${cluster.kernel.seed}: not after ${withinMs} ms: ${found.slice(0, 5).join('; ')}`
      assert.fail(`${what}\n${cluster.trace.of(found[0]!.split(' ')[0]!)}`)
    }
    await cluster.run(500)
  }
}

export async function startAll(cluster: CatalogCluster, stores: Stores): Promise<void> {
  for (const node of cluster.nodes) {
    await cluster.boot(node)
    await stores.snapshot(node)
  }
}
