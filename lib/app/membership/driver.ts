import { type PeerRpc, rpcProtocols } from '../../core/messaging.ts'
import type { Endpoint } from '../../core/peer.ts'
import type { PeerId } from '../../core/peer-id.ts'
import type { Clock } from '../../core/ports.ts'
import type { Effect, MembershipEvent } from '../../membership/events.ts'
import type { MembershipMachine } from '../../membership/machine.ts'
import { probeOverTcp } from './tcp-probe.ts'

const maxTcpProbes = 64
/** Connections that are opened at once only to ask whether somebody lives. */
const maxProbeDials = 2

/** Effects that the driver leaves to the service. */
export type ServiceEffect = Exclude<Effect, { type: 'send' | 'schedule' | 'tcp-probe' }>

export interface DriverParts {
  readonly machine: MembershipMachine
  readonly clock: Clock
  readonly rpc: PeerRpc
  readonly isConnected: (peerId: PeerId) => boolean
  readonly send: (to: PeerId, endpoint: Endpoint | undefined, body: Uint8Array) => void
  readonly perform: (effect: ServiceEffect) => void
}

/** Feeds the machine with events and does what it asks for: timers, messages and TCP probes. */
export class MembershipDriver {
  readonly #parts: DriverParts
  readonly #timers = new Set<NodeJS.Timeout>()
  #tcpProbes = 0
  #probeDials = 0
  #running = false

  constructor(parts: DriverParts) {
    this.#parts = parts
    parts.rpc.handle(rpcProtocols.probe, (from, frame) => this.#answerProbe(from, frame))
  }

  get running(): boolean {
    return this.#running
  }

  get timers(): number {
    return this.#timers.size
  }

  start(): void {
    this.#running = true
    this.step({ type: 'start' })
  }

  /** From now on no event does anything. */
  stop(): void {
    this.#running = false
    for (const timer of this.#timers) clearTimeout(timer)
    this.#timers.clear()
  }

  step(event: MembershipEvent): void {
    if (!this.#running) return
    for (const effect of this.#parts.machine.step(event, this.#parts.clock.monotonicMs()))
      this.#perform(effect)
  }

  #perform(effect: Effect): void {
    if (effect.type === 'send') this.#parts.send(effect.to, effect.endpoint, effect.body)
    else if (effect.type === 'schedule') this.#schedule(effect)
    else if (effect.type === 'tcp-probe') void this.#probe(effect)
    else this.#parts.perform(effect)
  }

  #schedule({ timer: data }: Effect & { type: 'schedule' }): void {
    const timer = setTimeout(
      () => {
        this.#timers.delete(timer)
        this.step({ type: 'timer', timer: data })
      },
      Math.max(0, data.atMs - this.#parts.clock.monotonicMs()),
    )
    this.#timers.add(timer)
  }

  async #probe(effect: Effect & { type: 'tcp-probe' }): Promise<void> {
    const { rpc, clock, machine, isConnected } = this.#parts
    if (this.#tcpProbes >= maxTcpProbes) return
    this.#tcpProbes++
    const { to: peerId, token } = effect
    let dials = 0
    const mayDial = () => {
      dials = this.#running && machine.isProbing(token) && this.#probeDials < maxProbeDials ? 1 : 0
      this.#probeDials += dials
      return dials > 0
    }
    const target = { ...effect, peerId, isConnected: isConnected(peerId), mayDial }
    await probeOverTcp({ rpc, clock }, target, ({ result, answers }) => {
      // First how it was answered: the answer itself would end the probe as if a datagram had brought it.
      this.step({ type: 'tcp-result', token, result })
      for (const answer of answers)
        this.step({ type: 'message', from: peerId, body: answer, replyTo: undefined })
    })
    this.#probeDials -= dials
    this.#tcpProbes--
  }

  /** Answers to the asker in the same step go back on the stream. */
  #answerProbe(from: PeerId, body: Uint8Array): Uint8Array[] {
    if (!this.#running) return []
    const event = { type: 'message', from, body, replyTo: undefined } as const
    const answers: Uint8Array[] = []
    for (const effect of this.#parts.machine.step(event, this.#parts.clock.monotonicMs())) {
      if (effect.type === 'send' && effect.to === from) answers.push(effect.body)
      else this.#perform(effect)
    }
    return answers
  }
}
