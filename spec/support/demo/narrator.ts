/** Where the demo speaks; times are counted from its beginning. */
export interface Narrator {
  /** Begins a step: one line with the time. */
  step(text: string): void
  /** A line that belongs to the step. */
  note(text: string): void
  /** Output of a program, indented. */
  quote(text: string): void
}

const seconds = (durationMs: number) => (durationMs / 1000).toFixed(1).padStart(5)

export function createNarrator(write: (text: string) => void): Narrator {
  const startedMs = performance.now()
  return {
    step: (text) => write(`\n${seconds(performance.now() - startedMs)} s  ${text}\n`),
    note: (text) => write(`         ${text}\n`),
    quote: (text) => write(`\n${text.trimEnd().replace(/^(?=.)/gm, '         ')}\n`),
  }
}

/** `12 ms`, `1.24 s`. */
export function formatMs(durationMs: number): string {
  return durationMs < 1000 ? `${Math.round(durationMs)} ms` : `${(durationMs / 1000).toFixed(2)} s`
}
