import { StarlingError } from '../../lib/core/errors.ts'
import type {
  DrainView,
  ImageView,
  NodeView,
  PeerView,
  StatusView,
  WhereView,
} from '../../lib/core/ops-view.ts'

export const testDigest = `sha256:${'ab'.repeat(32)}`
export const testPeerId = '12D3KooWtest'

const status: StatusView = {
  name: 'node-1',
  peerId: testPeerId,
  version: '0.1.0',
  role: 'agent',
  zone: 'rack-7',
  startedAt: '2026-01-01T00:00:00.000Z',
  uptimeMs: 93_784_000,
  sharing: { active: true, reason: 'mirrors 1 registry' },
  registryListen: ['0.0.0.0:6443'],
  p2pListen: ['0.0.0.0:5001'],
  udp: true,
  store: { kind: 'containerd', state: 'connected', version: '2.3.4', problem: undefined, sinceMs: 0 },
  members: { alive: 3, suspect: 0, stalled: 0, dead: 1, left: 0 },
  connections: 2,
  registries: [
    {
      registry: 'docker.io',
      origins: 3,
      localDigests: 7,
      localTags: 2,
      localImages: 2,
      digests: 20,
      tags: 5,
      disputedTags: 1,
    },
  ],
  certificates: [{ name: 'serving', notAfter: '2027-01-01T00:00:00.000Z' }],
  problems: ['the tag docker.io/library/alpine:3 is disputed'],
}

const peer: PeerView = {
  name: 'node-1',
  peerId: testPeerId,
  self: true,
  state: 'alive',
  incarnation: 4,
  since: '2026-01-01T00:00:00.000Z',
  addresses: ['192.0.2.1:5001'],
  registryPort: 6443,
  zone: '',
  role: 'agent',
  version: '0.1.0',
  registries: ['docker.io', 'quay.io'],
  registriesCount: 2,
  digests: 7,
  rttMs: null,
  connected: false,
}

const drain: DrainView = {
  name: 'node-2',
  peerId: testPeerId,
  state: 'alive',
  digests: 12,
  onlyThereCount: 1,
  onlyThere: [{ registry: 'docker.io', digest: testDigest }],
  imagesCount: 1,
  images: ['docker.io/library/alpine:3'],
  verdict: '1 digest and 1 image would be on no live node any more',
}

const image: ImageView = {
  reference: 'docker.io/library/alpine:3',
  registry: 'docker.io',
  repository: 'library/alpine',
  tag: '3',
  digest: testDigest,
  local: true,
  holders: ['node-1', 'node-2'],
  whole: ['node-1', 'node-2'],
}

/** A node to ask, as the ops API sees it; what is given stands in for its answers. */
export function fakeNodeView(changes: Partial<NodeView> = {}): NodeView {
  return {
    status: () => status,
    // The name of the second one tries to clear the terminal of whoever lists it.
    peers: () => [peer, { ...peer, name: 'node-2\u001b[2J', self: false, state: 'dead', rttMs: 1.25 }],
    registries: () => status.registries,
    images: () => [
      image,
      { ...image, reference: 'docker.io/library/busybox:1', local: false, holders: ['node-2'], whole: null },
    ],
    where: (query): WhereView => {
      if (query.includes('!')) {
        throw new StarlingError('REFERENCE_INVALID', `"${query}" is not an image reference`, {
          hint: 'look again',
        })
      }
      return {
        query,
        digest: testDigest,
        verdict: 'would come from node-2 (1 of 1 holders)',
        holders: [
          {
            registry: 'docker.io',
            name: 'node-2',
            peerId: testPeerId,
            state: 'alive',
            self: false,
            zone: '',
            address: '192.0.2.2:6443',
          },
        ],
        whole: ['node-2'],
        disputed: [],
      }
    },
    drainCheck(node) {
      if (node !== drain.name) throw new StarlingError('NOT_FOUND', `no member is called ${node}`)
      return drain
    },
    request(id) {
      if (id !== 'known') throw new StarlingError('NOT_FOUND', 'no such request')
      const shares = [{ peer: 'node-2', bytes: 9 }]
      return { id, status: 200, source: 'peer', reason: 'from node-2', shares, bytes: 9, durationMs: 3 }
    },
    ready: () => ({ ready: true, reasons: [] }),
    metrics: async () => 'starling_members{state="alive"} 3\n',
    ...changes,
  }
}
