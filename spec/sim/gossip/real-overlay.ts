import { randomBytes } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { Bus } from '../../../lib/network/bus.ts'
import { clusterEncrypter } from '../../../lib/network/cluster-encrypter.ts'
import { connectionProtector } from '../../../lib/network/connection-protector.ts'
import { toLibp2pKey } from '../../../lib/network/identity-key.ts'
import { type ClusterNode, createNode } from '../../../lib/network/libp2p-node.ts'
import { openListeners } from '../../../lib/network/listeners.ts'
import { toMultiaddr } from '../../../lib/network/multiaddrs.ts'
import { Refusals } from '../../../lib/network/refusals.ts'
import { constantCredentials, MemoryAttestations, Recorder, systemClock } from '../../network/test-host.ts'
import { eventually } from '../../support/eventually.ts'
import { makeTestAuthority, makeTestCluster } from '../../support/test-trust.ts'
import { seededRng } from '../random.ts'
import { coreClockMs } from './core-clock.ts'
import { countingRegister, differenceOf, type GossipCounts, noCounts } from './gossip-counts.ts'
import { type Load, type Observation, spreadOf } from './observation.ts'
import { drawTopology } from './topology.ts'

const registry = 'registry.example.com'

interface RealNode {
  readonly node: ClusterNode
  readonly bus: Bus
}

/** The shipped libp2p host and bus, so many times in this process, over TCP on loopback. */
export class RealOverlay implements AsyncDisposable {
  readonly #nodes: RealNode[] = []
  readonly #counts: GossipCounts = noCounts()
  readonly #heard = new Map<string, number[]>()
  readonly #size: number
  readonly #seed: number

  private constructor(size: number, seed: number) {
    this.#size = size
    this.#seed = seed
  }

  /** Connects them as nodes of a cluster do, and waits until they have settled. */
  static async start(size: number, seed: number): Promise<RealOverlay> {
    const overlay = new RealOverlay(size, seed)
    try {
      await overlay.#start()
      return overlay
    } catch (error) {
      await overlay[Symbol.asyncDispose]()
      throw error
    }
  }

  /** The settings that gossipsub ended up with, its own defaults among them. */
  settings(): Readonly<Record<string, unknown>> {
    const { pubsub } = this.#nodes[0]!.node
    if ('opts' in pubsub) return { ...(pubsub.opts as object) }
    throw new Error('gossipsub does not tell its settings any more')
  }

  /**
   * Publishes messages of random bytes from random nodes of each overlay, one after the other and the overlays in turn,
   * so that whatever else the machine does meets all of them alike.
   */
  static async play(overlays: readonly RealOverlay[], load: Load): Promise<Observation[]> {
    const rng = seededRng(load.seed)
    await delay(load.quietMs)
    const startedMs = performance.now()
    const before = overlays.map((overlay) => ({ ...overlay.#counts }))
    const delays: number[][][] = overlays.map(() => [])
    for (let message = 0; message < load.messages; message++) {
      for (const [index, overlay] of overlays.entries()) {
        delays[index]!.push(await overlay.#spread(Math.floor(rng.next() * overlay.#size), load.sizeBytes))
        await delay(load.gapMs)
      }
    }
    const durationMs = performance.now() - startedMs
    await delay(load.quietMs)
    return overlays.map((overlay, index) => {
      const counts = differenceOf(overlay.#counts, before[index]!)
      return {
        nodes: overlay.#size,
        topologySeed: overlay.#seed,
        sizeBytes: load.sizeBytes,
        messages: load.messages,
        durationMs,
        spread: spreadOf(delays[index]!),
        counts,
      }
    })
  }

  async #spread(origin: number, sizeBytes: number): Promise<number[]> {
    const data = randomBytes(sizeBytes)
    const key = data.toString('base64')
    const times: number[] = []
    this.#heard.set(key, times)
    const startedMs = coreClockMs()
    await this.#nodes[origin]!.bus.publish(registry, data)
    await eventually(() => times.length >= this.#size - 1, { timeoutMs: 60_000 })
    this.#heard.delete(key)
    return times.map((heardMs) => heardMs - startedMs).sort((a, b) => a - b)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#nodes.map(({ node }) => node.libp2p.stop()))
  }

  async #start(): Promise<void> {
    const authority = await makeTestAuthority()
    const names = Array.from({ length: this.#size }, (_, index) => ({ name: `n${index}` }))
    const cluster = await makeTestCluster({ authority, nodes: names })
    const recorder = new Recorder()
    const addresses: ReturnType<typeof toMultiaddr>[] = []
    for (const set of cluster.values()) {
      const credentials = constantCredentials(set)
      const shared = { logger: recorder, metrics: recorder, clock: systemClock }
      const refusals = new Refusals(shared)
      const bus = new Bus(shared)
      const node = await createNode({
        privateKey: toLibp2pKey(set.identityPrivateKey),
        protector: connectionProtector({ credentials, refusals }),
        encrypter: clusterEncrypter({
          credentials,
          attestations: new MemoryAttestations(set),
          clock: systemClock,
          refusals,
        }),
        inbound: { isTooFast: () => false, denies: () => false },
        gossip: bus.service(countingRegister(this.#counts)),
        maxConnections: 100,
      })
      this.#nodes.push({ node, bus })
      bus.onMessage((_registry, _from, message) => {
        this.#heard.get(Buffer.from(message).toString('base64'))?.push(coreClockMs())
        return 'accept'
      })
      await node.libp2p.start()
      bus.attach(node.pubsub)
      bus.join(registry)
      const [endpoint] = await openListeners(node.parts.transportManager, [{ host: '127.0.10.1', port: 0 }])
      addresses.push(toMultiaddr(endpoint!))
    }
    const edges = drawTopology(this.#size, seededRng(this.#seed))
    for (const [from, to] of edges) await this.#nodes[from]!.node.libp2p.dial(addresses[to]!)
    const subscribers = () =>
      this.#nodes.reduce(
        (sum, { node }) => sum + node.pubsub.getSubscribers(`/starling/1/${registry}`).length,
        0,
      )
    await eventually(() => subscribers() === 2 * edges.length, { timeoutMs: 60_000 })
    await delay(settleMs)
  }
}

/** Two heartbeats of every node. */
const settleMs = 2_500
