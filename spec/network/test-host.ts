import type { TestContext } from 'node:test'
import type { CredentialSet, Credentials } from '../../lib/core/credentials.ts'
import type { Attestation, AttestationRegistry } from '../../lib/core/messaging.ts'
import type { Endpoint } from '../../lib/core/peer.ts'
import type { PeerId } from '../../lib/core/peer-id.ts'
import type { Clock, Logger, Metrics } from '../../lib/core/ports.ts'
import { type ClusterHost, createHost, type HostOptions } from '../../lib/network/host.ts'
import { checkAttestation, makeAttestation } from '../../lib/trust/attestation.ts'

export const systemClock: Clock = { monotonicMs: () => performance.now(), wallMs: () => Date.now() }

export function constantCredentials(set: CredentialSet): Credentials {
  return { current: () => set, subscribe: () => () => {} }
}

/** Counts and keeps log lines, so that tests can ask for both. */
export class Recorder implements Logger, Metrics {
  readonly lines: { level: string; message: string; fields: object }[] = []
  readonly #counts = new Map<string, number>()

  debug(fields: object, message: string): void {
    this.lines.push({ level: 'debug', message, fields })
  }

  info(fields: object, message: string): void {
    this.lines.push({ level: 'info', message, fields })
  }

  warn(fields: object, message: string): void {
    this.lines.push({ level: 'warn', message, fields })
  }

  error(fields: object, message: string): void {
    this.lines.push({ level: 'error', message, fields })
  }

  child(): Logger {
    return this
  }

  count(name: string, labels: Readonly<Record<string, string>> = {}, amount = 1): void {
    const key = `${name}${JSON.stringify(labels)}`
    this.#counts.set(key, (this.#counts.get(key) ?? 0) + amount)
  }

  observe(): void {}

  set(): void {}

  /** Sum of a counter over all labels that include `labels`. */
  counted(name: string, labels: Readonly<Record<string, string>> = {}): number {
    let sum = 0
    for (const [key, value] of this.#counts) {
      const at = key.indexOf('{')
      if (key.slice(0, at) !== name) continue
      const actual = JSON.parse(key.slice(at)) as Record<string, string>
      if (Object.entries(labels).every(([label, wanted]) => actual[label] === wanted)) sum += value
    }
    return sum
  }

  warned(text: RegExp): boolean {
    return this.lines.some(({ level, message, fields }) => {
      return (level === 'warn' || level === 'error') && text.test(`${message} ${JSON.stringify(fields)}`)
    })
  }
}

/** Keeps attestations in memory, as the one on disk does. */
export class MemoryAttestations implements AttestationRegistry {
  readonly #credentials: CredentialSet
  readonly #known = new Map<PeerId, Attestation>()
  readonly #own: Attestation

  constructor(credentials: CredentialSet, shown = credentials) {
    this.#credentials = credentials
    this.#own = makeAttestation(shown)
  }

  isAttested(peerId: PeerId): boolean {
    return this.#known.has(peerId)
  }

  get(peerId: PeerId): Attestation | undefined {
    return this.#known.get(peerId)
  }

  admit(bytes: Uint8Array): Attestation | undefined {
    try {
      const attestation = checkAttestation(bytes, this.#credentials.serverCaPem, Date.now())
      this.#known.set(attestation.peerId, attestation)
      return attestation
    } catch {
      return undefined
    }
  }

  revoke(peerId: PeerId): void {
    this.#known.delete(peerId)
  }

  own(): Attestation {
    return this.#own
  }

  onAttested(): () => void {
    return () => {}
  }
}

export interface TestHost {
  readonly host: ClusterHost
  readonly recorder: Recorder
  readonly attestations: MemoryAttestations
  readonly peerId: PeerId
  readonly credentials: CredentialSet
  /** The first endpoint that it listens on. */
  readonly endpoint: Endpoint
}

export type TestHostOptions = Partial<
  Pick<
    HostOptions,
    'inboundLimits' | 'rpcLimits' | 'listen' | 'pskTimeoutMs' | 'duplicateGraceMs' | 'maintenanceIntervalMs'
  >
> & { attestations?: MemoryAttestations }

/** A started host, stopped when the test ends. */
export async function startHost(
  t: Pick<TestContext, 'after'>,
  credentials: CredentialSet,
  options: TestHostOptions = {},
): Promise<TestHost> {
  const recorder = new Recorder()
  const attestations = options.attestations ?? new MemoryAttestations(credentials)
  const host = createHost({
    listen: [{ host: '127.0.10.1', port: 0 }],
    ...options,
    credentials: constantCredentials(credentials),
    attestations,
    clock: systemClock,
    logger: recorder,
    metrics: recorder,
  })
  t.after(() => host.stop())
  await host.start()
  const endpoint = host.listening()[0] ?? { host: '127.0.10.1', port: 0 }
  return { host, recorder, attestations, peerId: credentials.peerId, credentials, endpoint }
}
