import type { ClaimBook } from './claim-book.ts'
import type { MachineContext } from './context.ts'
import type { TcpProbeResult } from './events.ts'
import type { LocalHealth } from './health.ts'
import { messageType } from './messages.ts'
import type { Packets } from './packets.ts'
import { isHelpful, isProbed, stateCode } from './states.ts'
import type { Suspicions } from './suspicions.ts'

interface Probe {
  readonly member: number
  readonly startedMs: number
  /** After a second ping an answer can't be matched to one of them (Karn's algorithm). */
  ambiguous: boolean
  readonly helpers: Set<number>
  nacks: number
  tcp: TcpProbeResult | 'pending' | undefined
  endToken: number
  endMs: number
}

/** Probes members: a ping, then help from three others and a TCP connection, then a verdict (SWIM paper §3.1). */
export class Prober {
  readonly #context: MachineContext
  readonly #packets: Packets
  readonly #claims: ClaimBook
  readonly #suspicions: Suspicions
  readonly #health: LocalHealth
  /** By token, which is the sequence number of the ping. */
  readonly #probes = new Map<number, Probe>()
  readonly #tokenByMember = new Map<number, number>()
  readonly #tokenByEnd = new Map<number, number>()

  constructor(
    context: MachineContext,
    parts: { packets: Packets; claims: ClaimBook; suspicions: Suspicions; health: LocalHealth },
  ) {
    this.#context = context
    this.#packets = parts.packets
    this.#claims = parts.claims
    this.#suspicions = parts.suspicions
    this.#health = parts.health
  }

  get size(): number {
    return this.#probes.size
  }

  /** Does this probe, which `tcp-probe` named, still wait for an answer? */
  isOpen(token: number): boolean {
    return this.#probes.has(token)
  }

  /** `urgent`: something was noticed, so TCP is tried at once, next to the ping. */
  begin(member: number, urgent: boolean): void {
    const { settings, nowMs } = this.#context
    const running = this.#tokenByMember.get(member)
    if (running !== undefined) {
      const probe = this.#probes.get(running)
      if (urgent && probe !== undefined) this.#connect(running, probe)
      return
    }
    if (this.#probes.size >= settings.maxConcurrentProbes) {
      this.#context.observe('probe-dropped')
      return
    }
    const token = this.#context.nextToken()
    const probe: Probe = {
      member,
      startedMs: nowMs,
      ambiguous: false,
      helpers: new Set(),
      nacks: 0,
      tcp: undefined,
      endToken: 0,
      endMs: nowMs,
    }
    this.#probes.set(token, probe)
    this.#tokenByMember.set(member, token)
    if (this.#context.datagrams)
      this.#packets.sendTo(member, messageType.ping, token, { target: this.#shortId(member) })
    this.#context.schedule('ping', this.#health.stretch(settings.probeTimeoutMs), token)
    this.#endIn(token, probe, this.#health.stretch(settings.probeTimeoutMs + settings.indirectTimeoutMs))
    if (urgent || !this.#context.datagrams) this.#connect(token, probe)
  }

  /** The ping had its time: others are asked, and TCP. */
  pingTimedOut(token: number): void {
    const probe = this.#probes.get(token)
    if (probe === undefined) return
    const { member } = probe
    const { self, table, settings, datagrams } = this.#context
    const isHelper = (index: number) => index !== self && index !== member && isHelpful(table.stateOf(index))
    for (const helper of this.#context.sampleNear(settings.indirectProbes, isHelper)) {
      probe.helpers.add(helper)
      this.#packets.sendTo(helper, messageType.pingReq, token, { target: this.#shortId(member) })
    }
    const addresses = this.#packets.endpointsOf(member).length
    for (let attempt = 1; datagrams && attempt < addresses; attempt++) {
      probe.ambiguous = true
      this.#packets.sendTo(member, messageType.ping, token, { target: this.#shortId(member), attempt })
    }
    this.#connect(token, probe)
  }

  /** An answer from `from`, to a direct ping or through a helper. Returns false where no probe waits for it. */
  acknowledged(token: number, from: number | undefined): boolean {
    const probe = this.#probes.get(token)
    if (probe === undefined || from === undefined) return false
    if (from !== probe.member && !probe.helpers.has(from)) return false
    if (from === probe.member && !probe.ambiguous)
      this.#context.table.addRtt(probe.member, this.#context.nowMs - probe.startedMs)
    this.#succeed(token, probe)
    return true
  }

  /** A helper says that it got no answer: it is well, and so is the path to it. */
  refusedByHelper(token: number, helper: number | undefined): void {
    const probe = this.#probes.get(token)
    if (probe !== undefined && helper !== undefined && probe.helpers.has(helper)) probe.nacks++
  }

  connected(token: number, result: TcpProbeResult): void {
    const probe = this.#probes.get(token)
    if (probe === undefined) return
    probe.tcp = result
    if (result === 'answered') {
      const { datagrams, nowMs, table } = this.#context
      if (datagrams) this.#context.observe('probe-tcp-only')
      else table.addRtt(probe.member, nowMs - probe.startedMs)
      this.#succeed(token, probe)
    } else if (result === 'refused') this.#endIn(token, probe, this.#context.settings.refusedGraceMs)
    else if (result === 'accepted')
      this.#endIn(token, probe, this.#health.stretch(this.#context.settings.acceptedGraceMs))
  }

  /** A probe is over without an answer. */
  timedOut(endToken: number): void {
    const token = this.#tokenByEnd.get(endToken)
    const probe = token === undefined ? undefined : this.#probes.get(token)
    if (token === undefined || probe === undefined) return
    this.#forget(token, probe)
    const { member, tcp } = probe
    if (!isProbed(this.#context.table.stateOf(member))) return
    this.#context.observe('probe-failed')
    const missedNacks = Math.max(0, probe.helpers.size - probe.nacks)
    if (tcp !== 'refused') this.#health.adjust(probe.helpers.size === 0 ? 1 : missedNacks)
    const state = tcp === 'accepted' ? stateCode.stalled : stateCode.suspect
    const accusers = [this.#context.own.shortId]
    const claim = { ...this.#claims.claimOf(member), state, accusers, refused: tcp === 'refused' ? 1 : 0 }
    this.#claims.apply(claim, 'own-finding', this.#context.own.record.peerId)
  }

  /** This node slept: whatever it waited for proves nothing. */
  abandonAll(): void {
    for (const [token, probe] of this.#probes) this.#forget(token, probe)
  }

  /** This node was starved for so long: what was sent to it meanwhile still waits in its sockets. */
  extendAll(byMs: number): void {
    const { nowMs } = this.#context
    for (const [token, probe] of this.#probes)
      this.#endIn(token, probe, Math.max(0, probe.endMs - nowMs) + byMs)
  }

  #connect(token: number, probe: Probe): void {
    if (probe.tcp !== undefined) return
    probe.tcp = 'pending'
    const { settings, directory, nowMs } = this.#context
    const end = probe.startedMs + this.#health.stretch(settings.probeTimeoutMs + settings.indirectTimeoutMs)
    const timeoutMs = Math.max(100, 0.9 * (end - nowMs))
    this.#context.emit({
      type: 'tcp-probe',
      to: directory.peerIdAt(probe.member),
      endpoints: this.#packets.endpointsOf(probe.member),
      body: this.#packets.compose(messageType.ping, token, probe.member, this.#shortId(probe.member)),
      token,
      timeoutMs,
      answerTimeoutMs: timeoutMs + this.#health.stretch(settings.acceptedGraceMs),
    })
  }

  #endIn(token: number, probe: Probe, afterMs: number): void {
    this.#tokenByEnd.delete(probe.endToken)
    probe.endMs = this.#context.nowMs + afterMs
    probe.endToken = this.#context.schedule('probe', afterMs)
    this.#tokenByEnd.set(probe.endToken, token)
  }

  #succeed(token: number, probe: Probe): void {
    this.#forget(token, probe)
    this.#health.adjust(-1)
    this.#suspicions.postpone(probe.member)
  }

  #forget(token: number, probe: Probe): void {
    this.#probes.delete(token)
    this.#tokenByMember.delete(probe.member)
    this.#tokenByEnd.delete(probe.endToken)
  }

  #shortId(member: number): string {
    return this.#context.directory.shortIdAt(member)
  }
}
