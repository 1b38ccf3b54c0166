import { setImmediate as turn } from 'node:timers/promises'
import type { Steps } from '../../catalog/transition.ts'
import type { Clock } from '../../core/ports.ts'

/** Waiting, so that a simulation can bring its own time. */
export interface CatalogTimers {
  /** Runs `action` after so many milliseconds; the function returned prevents it. */
  after(delayMs: number, action: () => void): () => void
  /** Resolves when others have had their turn. */
  turn(): Promise<unknown>
}

export const nodeTimers: CatalogTimers = {
  after(delayMs, action) {
    const timer = setTimeout(action, delayMs).unref()
    return () => clearTimeout(timer)
  },
  turn: () => turn(),
}

/** Steps run on for so long before others get a turn; the catalog must never hold up a heartbeat. */
const sliceMs = 2

/** Runs steps in short slices. Undefined where `isOver` became true between two of them. */
export async function runInTurns<T>(
  steps: Steps<T>,
  on: { clock: Clock; timers: CatalogTimers; isOver: () => boolean },
): Promise<T | undefined> {
  let startedMs = on.clock.monotonicMs()
  for (;;) {
    const step = steps.next()
    if (step.done === true) return step.value
    if (on.clock.monotonicMs() - startedMs < sliceMs) continue
    await on.timers.turn()
    if (on.isOver()) return undefined
    startedMs = on.clock.monotonicMs()
  }
}
