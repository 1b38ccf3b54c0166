import { hash } from 'node:crypto'
import { join } from 'node:path'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { LRUCache } from 'lru-cache'
import type { CredentialSet, Credentials } from '../../core/credentials.ts'
import { describeError } from '../../core/errors.ts'
import type { Attestation, AttestationRegistry } from '../../core/messaging.ts'
import type { PeerId } from '../../core/peer-id.ts'
import type { Clock, Logger, Metrics, Service } from '../../core/ports.ts'
import { ThrottledLog } from '../../network/throttled-log.ts'
import {
  type AttestationRefusal,
  AttestationRefusedError,
  attestationSkewToleranceMs,
  certificateOf,
  checkAttestation,
  makeAttestation,
} from '../../trust/attestation.ts'
import { AttestationFile } from './attestation-file.ts'

export interface AttestationStoreOptions {
  readonly credentials: Credentials
  /** The file `attestations` in it is ours. */
  readonly dataDir: string
  readonly clock: Clock
  readonly logger: Logger
  readonly metrics: Metrics
  readonly maxEntries?: number
  /** From a change to its being written. */
  readonly saveDelayMs?: number
}

interface Entry {
  readonly attestation: Attestation
  expiryLogged: boolean
}

/** How many checks of half a millisecond run before others get a turn. */
const checksPerTurn = 16
const checkedCacheEntries = 4096

/**
 * Who has proved membership (DESIGN §4, §7). A certificate key belongs to one live PeerId. Entries that have expired
 * are not answered, but kept in memory: a clock that jumped and comes back must not cost the cluster its members.
 */
export class AttestationStore implements AttestationRegistry, Service {
  readonly #options: AttestationStoreOptions
  readonly #maxEntries: number
  readonly #file: AttestationFile
  readonly #log: ThrottledLog
  readonly #entries = new Map<PeerId, Entry>()
  readonly #ownerOfKey = new Map<string, PeerId>()
  /** What passed the check, by hash: peers show the same bytes again and again. */
  readonly #checked = new LRUCache<string, Attestation>({ max: checkedCacheEntries })
  readonly #listeners = new Set<(attestation: Attestation) => void>()
  readonly #unsubscribe: () => void
  #isLive: (peerId: PeerId) => boolean = () => true
  #own: Attestation
  #serverCaPem: string
  #revoked: ReadonlySet<PeerId>
  #saveTimer: NodeJS.Timeout | undefined
  #recheck: Promise<void> = Promise.resolve()

  constructor(options: AttestationStoreOptions) {
    this.#options = options
    this.#maxEntries = options.maxEntries ?? 20_000
    this.#file = new AttestationFile(join(options.dataDir, 'attestations'), options.logger)
    this.#log = new ThrottledLog(options.logger, options.clock)
    const set = options.credentials.current()
    this.#own = makeAttestation(set)
    this.#serverCaPem = set.serverCaPem
    this.#revoked = revokedIn(set)
    this.#unsubscribe = options.credentials.subscribe((next) => {
      this.#own = makeAttestation(next)
      this.#revoked = revokedIn(next)
      for (const peerId of this.#revoked) this.#forget(peerId)
      if (next.serverCaPem === this.#serverCaPem) return
      this.#serverCaPem = next.serverCaPem
      this.#checked.clear()
      this.#recheck = this.#recheck.then(() => this.#checkAll())
    })
  }

  /** Membership's word on who is live; until it is set, everybody counts as live. */
  setLiveness(isLive: (peerId: PeerId) => boolean): void {
    this.#isLive = isLive
  }

  /** Reads what was remembered and checks all of it again. Never fails for the sake of the file. */
  async start(): Promise<void> {
    const kept = await this.#file.load(this.#maxEntries)
    let dropped = 0
    for (const [index, bytes] of kept.entries()) {
      if (index % checksPerTurn === checksPerTurn - 1) await nextTurn()
      try {
        if (!this.#remember(this.#check(bytes))) dropped += 1
      } catch {
        dropped += 1
      }
    }
    this.#options.logger.info({ peers: this.#entries.size, dropped }, 'remembered attestations are loaded')
  }

  async stop(): Promise<void> {
    this.#unsubscribe()
    await this.#recheck
    if (this.#saveTimer !== undefined) await this.#save()
    await this.#file.settled()
  }

  isAttested(peerId: PeerId): boolean {
    return this.get(peerId) !== undefined
  }

  get(peerId: PeerId): Attestation | undefined {
    if (peerId === this.#own.peerId) return this.#own
    const entry = this.#entries.get(peerId)
    if (entry === undefined) return undefined
    const { attestation } = entry
    if (!this.#isExpired(attestation)) return attestation
    if (!entry.expiryLogged) {
      entry.expiryLogged = true
      const fields = { peerId, subject: attestation.subject, notAfterMs: attestation.notAfterMs }
      this.#options.logger.warn(
        fields,
        'the certificate of a peer has expired; it is no member until it shows a new one',
      )
    }
    return undefined
  }

  own(): Attestation {
    return this.#own
  }

  /**
   * Returns the attestation of these very bytes. What is remembered of the peer may be another one: of two that
   * are both good the one that was issued later.
   */
  admit(bytes: Uint8Array): Attestation | undefined {
    let attestation: Attestation
    try {
      attestation = this.#check(bytes)
    } catch (error) {
      const reason = error instanceof AttestationRefusedError ? error.reason : 'malformed'
      this.#refuse(reason, { detail: describeError(error) })
      return undefined
    }
    return this.#remember(attestation) ? attestation : undefined
  }

  onAttested(listener: (attestation: Attestation) => void): () => void {
    this.#listeners.add(listener)
    return () => void this.#listeners.delete(listener)
  }

  /** @throws AttestationRefusedError */
  #check(bytes: Uint8Array): Attestation {
    const id = hash('sha256', bytes, 'base64')
    const known = this.#checked.get(id)
    if (known !== undefined && !this.#isExpired(known)) return known
    const attestation = checkAttestation(bytes, this.#serverCaPem, this.#options.clock.wallMs())
    this.#checked.set(id, attestation)
    return attestation
  }

  #remember(attestation: Attestation): boolean {
    const { peerId } = attestation
    if (this.#revoked.has(peerId)) {
      return this.#refuse('revoked', { peerId, subject: attestation.subject, detail: 'the node was revoked' })
    }
    const key = keyOf(attestation)
    const owner = key === keyOf(this.#own) ? this.#own.peerId : this.#ownerOfKey.get(key)
    if (owner !== undefined && owner !== peerId) {
      if (this.#isHeld(owner)) {
        const fields = { peerId, owner, subject: attestation.subject }
        return this.#refuse('key-in-use', {
          ...fields,
          detail: 'the certificate key belongs to another live PeerId',
        })
      }
      this.#forget(owner)
    }
    if (peerId === this.#own.peerId) return true
    const known = this.#entries.get(peerId)?.attestation
    if (known !== undefined && !isNewer(attestation, known)) return true
    if (known === undefined && this.#entries.size >= this.#maxEntries && !this.#makeRoom()) {
      return this.#refuse('full', { peerId, detail: `${this.#maxEntries} peers are remembered already` })
    }
    this.#forget(peerId)
    this.#entries.set(peerId, { attestation, expiryLogged: false })
    this.#ownerOfKey.set(key, peerId)
    this.#changed()
    for (const listener of this.#listeners) listener(attestation)
    return true
  }

  #isHeld(owner: PeerId): boolean {
    return owner === this.#own.peerId || (this.isAttested(owner) && this.#isLive(owner))
  }

  #forget(peerId: PeerId): void {
    const entry = this.#entries.get(peerId)
    if (entry === undefined) return
    this.#entries.delete(peerId)
    this.#ownerOfKey.delete(keyOf(entry.attestation))
    this.#changed()
  }

  #makeRoom(): boolean {
    for (const [peerId, { attestation }] of this.#entries) {
      if (!this.#isExpired(attestation) && this.#isLive(peerId)) continue
      this.#forget(peerId)
      return true
    }
    return false
  }

  /** After a change of the CA bundle. Peers that have not been looked at yet stay members for that moment. */
  async #checkAll(): Promise<void> {
    let index = 0
    for (const [peerId, { attestation }] of [...this.#entries]) {
      index += 1
      if (index % checksPerTurn === 0) await nextTurn()
      if (this.#entries.get(peerId)?.attestation !== attestation) continue
      try {
        this.#check(attestation.bytes)
      } catch (error) {
        this.#forget(peerId)
        const reason = error instanceof AttestationRefusedError ? error.reason : 'malformed'
        this.#refuse(reason, { peerId, detail: describeError(error) })
      }
    }
    this.#options.logger.info({ peers: this.#entries.size }, 'attestations are checked against the new CA')
  }

  #refuse(reason: AttestationRefusal | 'key-in-use' | 'full' | 'revoked', fields: object): false {
    this.#options.metrics.count('starling_attestation_refused_total', { reason })
    this.#log.warn(reason, 'an attestation is refused', () => ({ reason, ...fields }))
    return false
  }

  #isExpired(attestation: Attestation): boolean {
    return this.#options.clock.wallMs() > attestation.notAfterMs + attestationSkewToleranceMs
  }

  #changed(): void {
    this.#options.metrics.set('starling_attested_peers', this.#entries.size)
    this.#saveTimer ??= setTimeout(() => void this.#save(), this.#options.saveDelayMs ?? 2000).unref()
  }

  #save(): Promise<void> {
    clearTimeout(this.#saveTimer)
    this.#saveTimer = undefined
    return this.#file.save(() =>
      [...this.#entries.values()].flatMap(({ attestation }) =>
        this.#isExpired(attestation) ? [] : [attestation.bytes],
      ),
    )
  }
}

function revokedIn({ revocations = [] }: CredentialSet): ReadonlySet<PeerId> {
  return new Set(revocations.map(({ peerId }) => peerId))
}

function keyOf(attestation: Attestation): string {
  return Buffer.from(attestation.certificateKeyHash).toString('base64')
}

/**
 * Signatures differ from one start of a peer to the next, so for the same certificate the first attestation stays. Of two
 * certificates the one that was issued later counts.
 */
function isNewer(attestation: Attestation, known: Attestation): boolean {
  if (Buffer.compare(attestation.certificateKeyHash, known.certificateKeyHash) === 0) {
    return attestation.notAfterMs > known.notAfterMs
  }
  const [from, knownFrom] = [attestation, known].map((one) => certificateOf(one).validFromDate.getTime())
  if (from === undefined || knownFrom === undefined || from === knownFrom) {
    return attestation.notAfterMs > known.notAfterMs
  }
  return from > knownFrom
}
