import assert from 'node:assert/strict'
import type { CatalogOptions } from '../../lib/app/catalog/context.ts'
import { createCatalogService } from '../../lib/app/catalog/service.ts'
import { type Delta, decodeDelta } from '../../lib/catalog/delta.ts'
import type { CatalogService } from '../../lib/core/cluster.ts'
import { StarlingError } from '../../lib/core/errors.ts'
import type { BroadcastVerdict } from '../../lib/core/messaging.ts'
import type { PeerId } from '../../lib/core/peer-id.ts'
import type { Logger } from '../../lib/core/ports.ts'
import { OfferFilter } from '../../lib/core/reference.ts'
import { seededRng } from '../sim/random.ts'
import { makeIdentity, registry } from './support.ts'

export const quiet: Logger = { debug() {}, info() {}, warn() {}, error() {}, child: () => quiet }
const neighbour = makeIdentity().peerId

export interface CatalogNode {
  readonly catalog: CatalogService
  readonly published: Delta[]
  readonly topics: Set<string>
  readonly counts: Map<string, number>
  receive(message: Uint8Array, topic?: string): BroadcastVerdict
  outcome(message: Uint8Array, topic?: string): string
}

/** A catalog on its own: what it would broadcast is kept, and messages are handed to it. */
export function makeNode(options: Partial<CatalogOptions> = {}): CatalogNode {
  const published: Delta[] = []
  const topics = new Set<string>()
  const counts = new Map<string, number>()
  let listener: (registry: string, from: PeerId, message: Uint8Array) => BroadcastVerdict = () => 'ignore'
  let epoch = 0
  const catalog = createCatalogService({
    ...makeIdentity(),
    bus: {
      join: (name) => topics.add(name),
      leave: (name) => topics.delete(name),
      publish: async (_, message) => {
        const delta = decodeDelta(message)
        assert.ok(typeof delta === 'object')
        published.push(delta)
      },
      onMessage: (given) => {
        listener = given
      },
    },
    rpc: {
      request: async () => {
        throw new StarlingError('PEER_UNREACHABLE', 'nobody')
      },
      handle() {},
    },
    clock: { monotonicMs: () => performance.now(), wallMs: () => Date.now() },
    rng: seededRng(1),
    logger: quiet,
    metrics: {
      count: (name, labels = {}) => {
        const key = [name, ...Object.values(labels)].join(' ')
        counts.set(key, (counts.get(key) ?? 0) + 1)
      },
      observe() {},
      set() {},
    },
    partners: () => [],
    isAttested: () => true,
    filter: new OfferFilter(),
    dataDir: '/nonexistent',
    mirrors: { names: [registry], wildcard: false },
    epochs: {
      load: async () => epoch,
      save: async (next) => {
        epoch = next
      },
    },
    ...options,
  })
  const receive = (message: Uint8Array, topic = registry) => listener(topic, neighbour, message)
  return {
    catalog,
    published,
    topics,
    counts,
    receive,
    outcome(message, topic) {
      const before = new Map(counts)
      const verdict = receive(message, topic)
      for (const [key, count] of counts) {
        const [name, outcome] = key.split(' ')
        if (name === 'starling_catalog_messages_total' && count !== (before.get(key) ?? 0)) {
          return `${outcome} ${verdict}`
        }
      }
      return 'nothing was counted'
    },
  }
}
