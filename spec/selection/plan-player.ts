import assert from 'node:assert/strict'
import { HedgeBudget } from '../../lib/selection/hedge-budget.ts'
import type { PlanEffect, PlanEvent } from '../../lib/selection/plan-types.ts'
import type { StripeSettings } from '../../lib/selection/stripe-layout.ts'
import { TransferPlan } from '../../lib/selection/transfer-plan.ts'
import { resolveWanted, type WantedBytes } from '../../lib/selection/wanted-bytes.ts'

export type Act =
  | 'good'
  | 'refuses'
  | 'breaks'
  | 'short'
  | 'busy'
  | 'late'
  | 'parked'
  | 'size'
  | 'other-range'
  | 'silent'

/** What one candidate does. */
export interface Fate {
  readonly reach: number | 'complete'
  readonly acts: readonly Act[]
  readonly honest: boolean
  readonly gives: number
}

export interface Game {
  readonly size: number
  readonly fates: readonly Fate[]
  readonly wanted: WantedBytes
  /** Bytes that may be held ahead. */
  readonly room: number
  /** Which of the running requests goes on next. */
  readonly order: readonly number[]
  readonly commits: boolean
  /** The byte with which a check finds what came so far wrong, once. */
  readonly wrongAt: number | undefined
}

export class Counted {
  readonly #room: number
  used = 0
  peak = 0

  constructor(room: number) {
    this.#room = room
  }

  reserve(bytes: number): boolean {
    if (this.used + bytes > this.#room) return false
    this.used += bytes
    this.peak = Math.max(this.peak, this.used)
    return true
  }

  release(bytes: number): void {
    this.used -= bytes
    assert.ok(this.used >= 0, 'more was released than reserved')
  }
}

/** The bytes of a body of that size which a client wants: each has its offset for its value. */
export function expected(size: number, wanted: WantedBytes): Uint8Array {
  const body = Uint8Array.from({ length: size }, (_, index) => index)
  const span = resolveWanted(wanted, size)
  return span === undefined ? new Uint8Array() : body.subarray(span.start, span.end + 1)
}

interface Answer {
  readonly fetch: number
  readonly act: Act
  readonly gives: number
  at: number
  end: number
  opened: boolean
  left: number
}

const maxSteps = 20_000

/** Plays the candidates against the plan, one small step of one request at a time. */
export function play(game: Game, stripes: StripeSettings) {
  const { size, fates, wanted, commits } = game
  const budget = new Counted(game.room)
  const hedges = new HedgeBudget()
  const width = () => 1 + (Math.floor(nowMs / 10) % stripes.maxHolders)
  const machine = new TransferPlan(fates, { wanted, stripes, width, budget, hedges, returnBytes: 3 })
  const running = new Map<number, Answer>()
  const asked = fates.map(() => 0)
  const buffers = new Map<number, number[]>()
  const delivered: number[] = []
  let taken: number | undefined
  let committed = false
  let wrongAt = game.wrongAt
  let end: PlanEffect['type'] | undefined
  let nowMs = 0
  let parked = false

  function step(event: PlanEvent): void {
    apply(machine.step(event))
  }

  function apply(effects: readonly PlanEffect[]): void {
    for (const effect of effects) {
      if (effect.type === 'request') begin(effect)
      else if (effect.type === 'cancel' || effect.type === 'failed') running.delete(effect.fetch)
      else if (effect.type === 'drop') buffers.delete(effect.span)
      else end = effect.type
    }
  }

  function begin({ fetch, source, wanted: asks }: Extract<PlanEffect, { type: 'request' }>): void {
    const { acts, honest, gives } = fates[source] as Fate
    const act = acts[asked[source] as number] ?? (honest ? 'good' : 'refuses')
    asked[source] = (asked[source] as number) + 1
    const span = resolveWanted(asks, act === 'size' ? size + 1 : size)
    running.set(fetch, {
      fetch,
      act,
      gives,
      at: span?.start ?? -1,
      end: span?.end ?? -1,
      opened: false,
      // What a liar about the size gives of a suffix are other bytes than an honest one's: only a digest could tell.
      left:
        act === 'good' || act === 'late' || act === 'parked'
          ? Number.POSITIVE_INFINITY
          : act === 'size' && (wanted.kind === 'suffix' || (span?.end ?? 0) >= size)
            ? 0
            : gives,
    })
  }

  /** Takes what is in order, as the transfer does. */
  function pump(): void {
    for (let { head } = machine; head !== undefined && end === undefined; head = machine.head) {
      taken ??= machine.body?.start
      const bytes = buffers.get(head.id) ?? []
      buffers.set(head.id, [])
      for (const byte of bytes) {
        if (byte === wrongAt) {
          wrongAt = undefined
          const from = taken as number
          step({ type: 'wrong', from, to: from + bytes.length })
          if (machine.body === undefined) restart()
          return
        }
        if (commits && !committed) {
          committed = true
          machine.step({ type: 'committed' })
        }
        delivered.push(byte)
        taken = (taken as number) + 1
      }
      if (committed) machine.step({ type: 'forwarded', to: taken as number })
      if (!head.complete) return
      step({ type: 'passed' })
    }
  }

  function restart(): void {
    delivered.length = 0
    taken = undefined
  }

  function advance(answer: Answer): void {
    const { fetch, act } = answer
    const done = (event: PlanEvent): void => {
      running.delete(fetch)
      step(event)
    }
    if (!answer.opened) {
      const sizeBytes = act === 'size' ? size + 1 : size
      const refusal: PlanEvent | undefined =
        act === 'refuses' || act === 'silent'
          ? { type: 'failed', fetch }
          : act === 'busy'
            ? { type: 'busy', fetch, retryAtMs: nowMs + 5 }
            : answer.at === -1
              ? { type: 'unsatisfiable', fetch, sizeBytes }
              : undefined
      if (refusal !== undefined) {
        done(refusal)
        return
      }
      answer.opened = true
      const shift = act === 'other-range' ? 1 : 0
      step({ type: 'opened', fetch, sizeBytes, start: answer.at + shift, end: answer.end })
      if (machine.body === undefined) restart()
      return
    }
    if (act === 'late') step({ type: 'late', fetch })
    if (act === 'parked' && answer.at > 0) {
      parked = true
      done({ type: 'parked', fetch })
      return
    }
    if (!running.has(fetch)) return
    const count = Math.min(3, answer.left, answer.end + 1 - answer.at)
    if (count > 0) {
      const got = machine.receive(fetch, count)
      if (got !== undefined) {
        const buffer = buffers.get(got.span) ?? []
        buffers.set(got.span, buffer)
        for (let index = 0; index < got.take; index++) buffer.push(answer.at + got.skip + index)
      }
      answer.at += count
      answer.left -= count
      pump()
      return
    }
    if (answer.at > answer.end || act === 'short' || act === 'size') done({ type: 'ended', fetch })
    else done({ type: 'failed', fetch })
    if (machine.body === undefined) restart()
  }

  step({ type: 'start' })
  for (let steps = 0; end === undefined; steps++) {
    assert.ok(steps < maxSteps, 'the transfer does not end')
    nowMs++
    step({ type: 'tick', nowMs })
    if (parked && steps % 7 === 0) {
      parked = false
      step({ type: 'unparked' })
    }
    const answers = [...running.values()]
    const answer = answers[(game.order[steps % game.order.length] as number) % Math.max(1, answers.length)]
    if (answer !== undefined && end === undefined) advance(answer)
    if (end === undefined) pump()
  }
  apply(machine.close())
  return {
    end,
    delivered,
    committed,
    peakBytes: budget.peak,
    leftBytes: budget.used,
    running: running.size,
    counted: hedges.running + hedges.hedges,
  }
}
