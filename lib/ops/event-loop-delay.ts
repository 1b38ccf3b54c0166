import { monitorEventLoopDelay } from 'node:perf_hooks'
import type { Metrics } from '../core/ports.ts'

/** A look at the clock this often costs about half a per cent of a core. */
const resolutionMs = 5
/** Nobody has asked for this long: the looking ends. */
const idleMs = 120_000
const quantiles = [0.5, 0.99, 1] as const

/**
 * How late the event loop of this thread comes to its timers (`monitorEventLoopDelay` of Node.js), as quantiles since the
 * last report. It is measured only while somebody asks for it: the first report begins it and tells nothing.
 */
export class EventLoopDelay {
  #histogram: ReturnType<typeof monitorEventLoopDelay> | undefined
  #timer: NodeJS.Timeout | undefined

  report(metrics: Pick<Metrics, 'set'>): void {
    const histogram = this.#histogram
    if (histogram === undefined) {
      this.#histogram = monitorEventLoopDelay({ resolution: resolutionMs })
      this.#histogram.enable()
      this.#timer = setTimeout(() => this.stop(), idleMs).unref()
      return
    }
    this.#timer?.refresh()
    if (histogram.count === 0) return
    for (const quantile of quantiles) {
      // What is recorded is the time between two looks.
      const delayMs = Math.max(0, histogram.percentile(quantile * 100) / 1e6 - resolutionMs)
      const label = quantile === 1 ? 'max' : String(quantile)
      metrics.set('starling_event_loop_delay_seconds', delayMs / 1000, { quantile: label })
    }
    histogram.reset()
  }

  stop(): void {
    clearTimeout(this.#timer)
    this.#histogram?.disable()
    this.#histogram = undefined
  }
}
