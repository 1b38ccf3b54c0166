/** One thing that was looked at. */
export interface CheckLine {
  readonly what: string
  readonly verdict: 'ok' | 'warning' | 'wrong'
  /** What was found, and what to do. */
  readonly detail: string
}

export type Verdict = Omit<CheckLine, 'what'>

export const ok = (detail: string): Verdict => ({ verdict: 'ok', detail })
export const warning = (detail: string): Verdict => ({ verdict: 'warning', detail })
export const wrong = (detail: string): Verdict => ({ verdict: 'wrong', detail })
