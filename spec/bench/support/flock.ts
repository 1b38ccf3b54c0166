/** What one agent said of another, at the time (milliseconds since 1970) at which it said so. */
export interface Loss {
  readonly viewer: number
  readonly lost: number
  readonly atMs: number
}

/** A running cluster of agents of one kind, as the membership benchmark sees it. */
export interface AgentFlock extends AsyncDisposable {
  readonly label: string
  readonly size: number
  pidOf(index: number): number
  kill(index: number): Promise<void>
  pause(index: number): void
  resume(index: number): void
  /** Its host is gone: nothing arrives there, nothing comes from there, and nobody answers "refused". `heal` before the next. */
  vanish(index: number): void
  heal(): void
  /** News that begins at one agent: milliseconds until each other one has them. */
  announce(index: number, turn: number): Promise<number[]>
  /** Starts a killed agent again. */
  restart(index: number): Promise<void>
  /** Every death that was declared so far. */
  losses(): readonly Loss[]
  /** Waits until all see all. */
  waitWhole(timeoutMs: number): Promise<void>
  /** Bytes that all of them together have sent. */
  sentBytes(): number
}
