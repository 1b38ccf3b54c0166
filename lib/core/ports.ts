/**
 * The ports through which the pure folders and the adapters meet time, chance, logs and one another.
 * Adapters don't import each other; `app` joins them.
 */

export interface Clock {
  /** Milliseconds that never run backwards; the zero point means nothing. */
  monotonicMs(): number
  /** Milliseconds since 1970, as the machine's clock has it now; may jump. */
  wallMs(): number
}

export interface Rng {
  /** A number in [0, 1). */
  next(): number
}

/** Structured logging: a constant message, data as fields. pino satisfies it. */
export interface Logger {
  debug(fields: object, message: string): void
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
  error(fields: object, message: string): void
  child(fields: object): Logger
}

/** Counts what operators may wonder about; the ops adapter turns it into Prometheus metrics. */
export interface Metrics {
  /** Adds to the counter `name` (snake_case, ends in `_total`); labels must come from a small closed set. */
  count(name: MetricName, labels?: Readonly<Record<string, string>>, amount?: number): void
  observe(name: MetricName, value: number, labels?: Readonly<Record<string, string>>): void
  set(name: MetricName, value: number, labels?: Readonly<Record<string, string>>): void
}

export type MetricName = `starling_${string}`

/** Something that changes and can be followed. `subscribe` returns the function that ends it. */
export interface Subscribable<T> {
  current(): T
  subscribe(listener: (value: T) => void): () => void
}

/** A started part of a node. `stop` may be called more than once and always settles. */
export interface Service {
  start(): Promise<void>
  stop(): Promise<void>
}
