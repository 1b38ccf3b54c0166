import type { PeerId } from '../core/peer-id.ts'
import type { ClaimBook } from './claim-book.ts'
import type { MachineContext } from './context.ts'
import type { MembershipEvent } from './events.ts'
import { decodeMessage, type Message, messageType } from './messages.ts'
import type { Packets } from './packets.ts'
import type { Prober } from './prober.ts'
import type { Relays } from './relays.ts'
import { isProbed, stateCode } from './states.ts'
import type { Suspicions } from './suspicions.ts'
import type { Upkeep } from './upkeep.ts'

type MessageEvent = MembershipEvent & { readonly type: 'message' }

/** Reads messages: what they say of members goes to the claim book, what they ask for is answered. */
export class Inbox {
  readonly #context: MachineContext
  readonly #packets: Packets
  readonly #claims: ClaimBook
  readonly #suspicions: Suspicions
  readonly #prober: Prober
  readonly #relays: Relays
  readonly #upkeep: Upkeep

  constructor(
    context: MachineContext,
    parts: {
      packets: Packets
      claims: ClaimBook
      suspicions: Suspicions
      prober: Prober
      relays: Relays
      upkeep: Upkeep
    },
  ) {
    this.#context = context
    this.#packets = parts.packets
    this.#claims = parts.claims
    this.#suspicions = parts.suspicions
    this.#prober = parts.prober
    this.#relays = parts.relays
    this.#upkeep = parts.upkeep
  }

  receive(event: MessageEvent): void {
    const { directory, table, own } = this.#context
    let message: Message
    try {
      message = decodeMessage(event.body)
    } catch {
      this.#context.observe('malformed')
      return
    }
    if (message.clockMs !== undefined) this.#context.hearClock(message.clockMs)
    const sender = directory.findPeer(event.from)
    const isMember = sender !== undefined && table.stateOf(sender) !== 0
    const shortId = sender === undefined ? this.#shortIdOf(event.from) : directory.shortIdAt(sender)
    if (shortId === own.shortId) return
    const wasDead = isMember && table.stateOf(sender) === stateCode.dead
    const { incarnation, hash } = message
    this.#claims.apply({ shortId, incarnation, state: stateCode.alive, hash }, 'itself', event.from)
    for (const claim of message.claims) this.#claims.apply(claim, 'rumour', event.from)
    if (isMember && isProbed(table.stateOf(sender))) this.#suspicions.postpone(sender)
    if (wasDead && table.stateOf(sender) === stateCode.alive) this.#upkeep.meetAgain(event.from)
    this.#answer(message, event, isMember ? sender : undefined)
  }

  #answer(message: Message, event: MessageEvent, sender: number | undefined): void {
    const { own, table } = this.#context
    const { type, sequence, target } = message
    const { from, replyTo } = event
    if (type === messageType.ping) {
      if (target !== undefined && target !== own.shortId) this.#context.observe('misdelivered')
      else this.#packets.send(from, replyTo, this.#packets.compose(messageType.ack, sequence, sender))
    } else if (type === messageType.pingReq) {
      if (target !== undefined) this.#relays.begin(from, sequence, replyTo, target)
    } else if (type === messageType.ack) {
      if (!this.#relays.acknowledged(sequence, sender)) this.#prober.acknowledged(sequence, sender)
    } else if (type === messageType.nack) this.#prober.refusedByHelper(sequence, sender)
    else if (type !== messageType.gossip) this.#context.observe('unknown-type')
    const isDoubted = sender !== undefined && table.stateOf(sender) > stateCode.alive
    if (isDoubted && type !== messageType.ping && table.stateOf(sender) !== stateCode.left)
      this.#packets.send(from, replyTo, this.#packets.compose(messageType.gossip, 0, sender))
  }

  #shortIdOf(peerId: PeerId): string {
    const { directory } = this.#context
    const index = directory.acquire(peerId)
    const shortId = directory.shortIdAt(index)
    directory.release(index)
    return shortId
  }
}
