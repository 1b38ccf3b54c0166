import type { Endpoint } from '../core/peer.ts'
import type { PeerId } from '../core/peer-id.ts'
import type { MachineContext } from './context.ts'
import { messageType } from './messages.ts'
import type { Packets } from './packets.ts'
import { isProbed } from './states.ts'

interface Relay {
  readonly origin: PeerId
  readonly originSequence: number
  readonly replyTo: Endpoint | undefined
  readonly member: number
}

/** Share of the usual time after which a helper says that it got no answer (Lifeguard §3.1, "nack"). */
const nackShare = 0.8

/** Pings on behalf of others. */
export class Relays {
  readonly #context: MachineContext
  readonly #packets: Packets
  readonly #relays = new Map<number, Relay>()

  constructor(context: MachineContext, packets: Packets) {
    this.#context = context
    this.#packets = packets
  }

  get size(): number {
    return this.#relays.size
  }

  begin(origin: PeerId, originSequence: number, replyTo: Endpoint | undefined, target: string): void {
    const { directory, table, settings } = this.#context
    const member = directory.find(target)
    if (this.#relays.size >= settings.maxRelays) {
      this.#context.observe('relay-dropped')
      return
    }
    if (member === undefined || !isProbed(table.stateOf(member))) return
    const token = this.#context.schedule('relay', nackShare * settings.probeTimeoutMs)
    this.#relays.set(token, { origin, originSequence, replyTo, member })
    this.#packets.sendTo(member, messageType.ping, token, { target })
  }

  /** Passes an answer on. Returns false where it is none of these. */
  acknowledged(token: number, from: number | undefined): boolean {
    const relay = this.#relays.get(token)
    if (relay === undefined || relay.member !== from) return false
    this.#answer(token, relay, messageType.ack)
    return true
  }

  timedOut(token: number): void {
    const relay = this.#relays.get(token)
    if (relay !== undefined) this.#answer(token, relay, messageType.nack)
  }

  #answer(token: number, relay: Relay, type: number): void {
    this.#relays.delete(token)
    const { directory } = this.#context
    const reader = directory.findPeer(relay.origin)
    const body = this.#packets.compose(type, relay.originSequence, reader, directory.shortIdAt(relay.member))
    this.#packets.send(relay.origin, relay.replyTo, body)
  }
}
