import type { Clock, Logger, Metrics } from '../core/ports.ts'
import { ThrottledLog } from './throttled-log.ts'

/** Where a connection to the p2p port was turned away: our limits, then the three gates of DESIGN §7. */
export type Gate = 'limit' | 'psk' | 'tls' | 'certificate'

const messages: Readonly<Record<Gate, string>> = {
  limit: 'p2p connection refused: too many',
  psk: 'p2p connection refused: it does not know the PSK',
  tls: 'p2p connection refused: the TLS handshake failed',
  certificate: 'p2p connection refused: no certificate of this cluster',
}

/** A connection that was closed without a byte is how members are probed: counted, and nothing to read about at night. */
const unlogged: ReadonlySet<string> = new Set(['empty'])

/** Counts and logs every connection that was turned away, with the gate, the reason and the remote address. */
export class Refusals {
  readonly #metrics: Metrics
  readonly #log: ThrottledLog

  constructor(options: { logger: Logger; metrics: Metrics; clock: Clock }) {
    this.#metrics = options.metrics
    this.#log = new ThrottledLog(options.logger, options.clock)
  }

  /** `reason` comes from a small closed set, `detail` is free text for the log. */
  refuse(
    gate: Gate,
    reason: string,
    fields: { remote: string; direction: 'inbound' | 'outbound'; detail?: string },
  ): void {
    const { direction } = fields
    this.#metrics.count('starling_p2p_refused_total', { gate, reason, direction })
    if (unlogged.has(reason)) return
    this.#log.warn(`${gate} ${reason} ${direction}`, messages[gate], () => ({ gate, reason, ...fields }))
  }
}
