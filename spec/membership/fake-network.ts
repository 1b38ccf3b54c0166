import { generateKeyPairSync, hash, type KeyObject } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import type { OwnFacts, RunningMembership } from '../../lib/app/membership/options.ts'
import { createMembershipService } from '../../lib/app/membership/service.ts'
import type { PeerConnector } from '../../lib/core/cluster.ts'
import { StarlingError } from '../../lib/core/errors.ts'
import type {
  Attestation,
  AttestationRegistry,
  DatagramTransport,
  PeerRpc,
} from '../../lib/core/messaging.ts'
import { type Endpoint, formatEndpoint } from '../../lib/core/peer.ts'
import { type PeerId, peerIdFromPublicKey } from '../../lib/core/peer-id.ts'
import type { Logger, Metrics } from '../../lib/core/ports.ts'
import { defaultSettings } from '../../lib/membership/settings.ts'

type RpcAnswer = Parameters<PeerRpc['handle']>[1]

/** One line of a log, or one count of a metric. */
export type Note = {
  readonly kind: 'warn' | 'info' | 'metric'
  readonly text: string
  readonly fields: object
}

/** The ports of one node in memory. A node that is down takes part in nothing. */
export class FakeHost {
  readonly network: FakeNetwork
  readonly peerId: PeerId
  readonly key: KeyObject
  readonly endpoint: Endpoint
  readonly notes: Note[] = []
  readonly connected = new Set<PeerId>()
  readonly attested = new Map<PeerId, Attestation>()
  readonly dials: PeerId[] = []
  up = true
  hasDatagrams = true
  /** They are sent, and never arrive. */
  areDatagramsLost = false
  /** How far its wall clock has leapt ahead, as after a sleep of the machine. */
  clockAheadMs = 0
  addresses: (peerId: PeerId) => readonly Endpoint[] = () => []
  onDatagram: (from: PeerId, body: Uint8Array, replyTo: Endpoint) => void = () => undefined
  readonly answers = new Map<string, RpcAnswer>()
  readonly watchers = new Set<(peerId: PeerId, state: 'open' | 'closed') => void>()

  constructor(network: FakeNetwork, number: number) {
    const { publicKey, privateKey } = generateKeyPairSync('ed25519')
    this.network = network
    this.key = privateKey
    this.peerId = peerIdFromPublicKey(Buffer.from(publicKey.export({ format: 'jwk' }).x ?? '', 'base64url'))
    // Nothing listens there, so that a bare connect is refused, as on the host of a dead process.
    this.endpoint = { host: `127.77.${number >> 8}.${number & 255}`, port: 5177 }
    network.hosts.set(this.peerId, this)
  }

  logger(): Logger {
    const note = (kind: Note['kind']) => (fields: object, text: string) =>
      void this.notes.push({ kind, text, fields })
    const logger: Logger = {
      debug: () => undefined,
      info: note('info'),
      warn: note('warn'),
      error: note('warn'),
      child: () => logger,
    }
    return logger
  }

  metrics(): Metrics {
    const count = (name: string, labels: object = {}) =>
      void this.notes.push({ kind: 'metric', text: name, fields: labels })
    return { count, observe: () => undefined, set: () => undefined }
  }

  datagrams(): DatagramTransport {
    return {
      send: (to, body) => {
        const target = this.network.at(to)
        if (!this.up || !this.hasDatagrams || this.areDatagramsLost || target === undefined) return
        const isHeard = () => target.up && target.hasDatagrams && target.attested.has(this.peerId)
        setImmediate(() => isHeard() && target.onDatagram(this.peerId, body, this.endpoint))
      },
      onDatagram: (listener) => {
        this.onDatagram = listener
      },
      available: () => this.hasDatagrams,
    }
  }

  rpc(): PeerRpc {
    return {
      handle: (protocol, answer) => void this.answers.set(protocol, answer),
      request: async (peer, protocol, frame) => {
        await this.open(this.network.hosts.get(peer))
        const answer = this.network.hosts.get(peer)?.answers.get(protocol)
        const frames: Uint8Array[] = []
        for await (const part of answer?.(this.peerId, frame) ?? []) frames.push(part)
        await new Promise(setImmediate)
        return frames
      },
    }
  }

  connector(): PeerConnector {
    return {
      connect: async (endpoint) => {
        const target = this.network.at(endpoint)
        await this.open(target)
        return target?.peerId ?? this.peerId
      },
      connectPeer: (peer) => this.open(this.network.hosts.get(peer)),
      setAddressBook: (addresses) => {
        this.addresses = addresses
      },
      disconnect: async (peer) => this.network.hosts.get(peer)?.close(this),
      connections: () =>
        [...this.connected].map((peerId) => ({
          peerId,
          direction: 'outbound',
          remote: undefined,
          openedMs: 0,
        })),
      onConnection: (listener) => {
        this.watchers.add(listener)
        return () => this.watchers.delete(listener)
      },
    }
  }

  attestations(): AttestationRegistry {
    return {
      isAttested: (peerId) => this.attested.has(peerId),
      get: (peerId) => this.attested.get(peerId),
      own: () => this.attestation(),
      onAttested: () => () => undefined,
      admit: (bytes) => {
        const attestation = this.network.attestationOf(bytes)
        if (attestation !== undefined) this.attested.set(attestation.peerId, attestation)
        return attestation
      },
    }
  }

  attestation(): Attestation {
    const bytes = Buffer.from(`attested ${this.peerId}`)
    const certificateKeyHash = keyHashOf(this.peerId)
    return { peerId: this.peerId, bytes, certificateKeyHash, notAfterMs: 4e12, subject: 'node' }
  }

  async open(target: FakeHost | undefined): Promise<void> {
    await new Promise(setImmediate)
    if (target === undefined || !target.up || !this.up)
      throw new StarlingError('PEER_UNREACHABLE', 'nobody answers there')
    if (target === this || this.connected.has(target.peerId)) return
    this.dials.push(target.peerId)
    for (const [one, other] of [
      [this, target],
      [target, this],
    ] as const) {
      one.attested.set(other.peerId, other.attestation())
      one.connected.add(other.peerId)
      for (const watch of one.watchers) watch(other.peerId, 'open')
    }
  }

  close(other: FakeHost): void {
    for (const [one, gone] of [
      [this, other],
      [other, this],
    ] as const) {
      if (!one.connected.delete(gone.peerId)) continue
      for (const watch of one.watchers) watch(gone.peerId, 'closed')
    }
  }

  /** As after SIGKILL: connections close, nothing answers. */
  kill(): void {
    this.up = false
    for (const peer of [...this.connected]) {
      const other = this.network.hosts.get(peer)
      if (other !== undefined) this.close(other)
    }
  }

  warnings(): string[] {
    return this.notes.filter(({ kind }) => kind === 'warn').map(({ text }) => text)
  }
}

export class FakeNetwork {
  readonly hosts = new Map<PeerId, FakeHost>()
  readonly dir: string
  readonly #running = new Set<RunningMembership>()

  constructor(dir: string) {
    this.dir = dir
  }

  /** A network with a folder, both gone after the test. */
  static async create(context: TestContext): Promise<FakeNetwork> {
    const network = new FakeNetwork(await mkdtemp(join(tmpdir(), 'starling-membership-')))
    context.after(async () => {
      for (const service of network.#running) await service.stop()
      await rm(network.dir, { recursive: true, force: true })
    })
    return network
  }

  host(): FakeHost {
    return new FakeHost(this, this.hosts.size + 1)
  }

  at(endpoint: Endpoint): FakeHost | undefined {
    const text = formatEndpoint(endpoint)
    return [...this.hosts.values()].find((host) => formatEndpoint(host.endpoint) === text)
  }

  attestationOf(bytes: Uint8Array): Attestation | undefined {
    const [word, peerId] = Buffer.from(bytes).toString().split(' ')
    return word === 'attested' ? this.hosts.get(peerId as PeerId)?.attestation() : undefined
  }

  async service(
    host: FakeHost,
    options: {
      name?: string
      bootstrap?: readonly FakeHost[]
      registries?: readonly string[]
      facts?: Partial<OwnFacts>
      snapshot?: string
    } = {},
  ): Promise<RunningMembership> {
    const name = options.name ?? `node-${host.endpoint.host}`
    const service = await createMembershipService({
      clock: { monotonicMs: () => performance.now(), wallMs: () => Date.now() + host.clockAheadMs },
      rng: { next: () => Math.random() },
      logger: host.logger(),
      metrics: host.metrics(),
      datagrams: host.datagrams(),
      rpc: host.rpc(),
      connector: host.connector(),
      attestations: host.attestations(),
      privateKey: host.key,
      own: {
        peerId: host.peerId,
        name,
        p2p: [host.endpoint],
        registryPort: 6443,
        zone: 'z1',
        role: 'agent',
        version: '0.1.0',
        certificateKeyHash: keyHashOf(host.peerId),
        ...options.facts,
      },
      settings: { ...defaultSettings, probeGraceMs: 500 },
      registries: options.registries ?? ['docker.io'],
      bootstrap: async () => (options.bootstrap ?? []).map(({ endpoint }) => endpoint),
      snapshotPath: options.snapshot ?? join(this.dir, host.peerId),
    })
    this.#running.add(service)
    await service.start()
    return service
  }
}

export function keyHashOf(peerId: PeerId): Uint8Array {
  return hash('sha256', `certificate of ${peerId}`, 'buffer')
}
