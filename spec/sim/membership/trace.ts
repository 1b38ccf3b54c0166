import type { PeerId } from '../../../lib/core/peer-id.ts'
import type { Effect, MembershipEvent } from '../../../lib/membership/events.ts'
import { decodeMessage, messageType } from '../../../lib/membership/messages.ts'
import { stateOfCode } from '../../../lib/membership/states.ts'

interface Step {
  readonly atMs: number
  readonly event: MembershipEvent
  readonly effects: readonly Effect[]
}

const typeNames = new Map<number, string>(Object.entries(messageType).map(([name, type]) => [type, name]))

/** The last steps of each node, put into words only when an invariant is violated. */
export class Traces {
  readonly #depth: number
  readonly #steps = new Map<string, Step[]>()

  /** @param depth steps that are kept of each node; 0 keeps nothing */
  constructor(depth: number) {
    this.#depth = depth
  }

  add(node: string, step: Step): void {
    if (this.#depth === 0) return
    const steps = this.#steps.get(node) ?? []
    this.#steps.set(node, steps)
    steps.push(step)
    if (steps.length > 2 * this.#depth) steps.splice(0, steps.length - this.#depth)
  }

  /** One line for each step and effect, the latest last. */
  of(node: string, nameOf: (peerId: PeerId) => string): string {
    if (this.#depth === 0) return `(no trace is kept of ${node}; run again with --trace)`
    const lines = (this.#steps.get(node) ?? [])
      .slice(-this.#depth)
      .flatMap(({ atMs, event, effects }) => [
        `${atMs.toFixed(1)} ms ${describeEvent(event, nameOf)}`,
        ...effects.map((effect) => `    → ${describeEffect(effect, nameOf)}`),
      ])
    return [`the last steps of ${node}:`, ...lines].join('\n')
  }
}

function describeEvent(event: MembershipEvent, nameOf: (peerId: PeerId) => string): string {
  switch (event.type) {
    case 'timer':
      return `timer ${event.timer.kind} ${event.timer.token}, due ${event.timer.atMs.toFixed(1)}`
    case 'message':
      return `${describeMessage(event.body)} from ${nameOf(event.from)}`
    case 'claims':
      return `${event.claims.length} claims of ${nameOf(event.from)}`
    case 'hint':
      return `hint ${event.hint} of ${nameOf(event.peerId)}`
    case 'tcp-result':
      return `TCP probe ${event.token}: ${event.result}`
    case 'record':
      return `record of ${event.signed.record.name}`
    default:
      return event.type
  }
}

function describeEffect(effect: Effect, nameOf: (peerId: PeerId) => string): string {
  switch (effect.type) {
    case 'send':
      return `${describeMessage(effect.body)} to ${nameOf(effect.to)}`
    case 'schedule':
      return `timer ${effect.timer.kind} ${effect.timer.token} at ${effect.timer.atMs.toFixed(1)}`
    case 'changed':
      return `${nameOf(effect.peerId)}: ${effect.from} → ${effect.to}, incarnation ${effect.incarnation}, ${effect.reason}`
    case 'observed':
      return effect.what
    case 'tcp-probe':
      return `TCP probe ${effect.token} of ${nameOf(effect.to)}`
    default:
      return effect.type
  }
}

function describeMessage(body: Uint8Array): string {
  const { type, sequence, incarnation, claims } = decodeMessage(body)
  const said = claims.map(
    (claim) => `${claim.shortId.slice(0, 6)} ${stateOfCode(claim.state)}@${claim.incarnation}`,
  )
  return `${typeNames.get(type) ?? type} ${sequence} (incarnation ${incarnation}${said.length > 0 ? `: ${said.join(', ')}` : ''})`
}
