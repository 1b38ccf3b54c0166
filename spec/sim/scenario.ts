import type { Table } from '../bench/benchmark.ts'

export interface ScenarioOptions {
  readonly nodes: number
  readonly seed: number
  /** Shorter, for every run of the tests. */
  readonly quick: boolean
  /** Steps that are kept of each node for the trace of a violated invariant. */
  readonly traceDepth: number
  /** Takes lines of progress. */
  readonly log: (line: string) => void
}

/** One scenario of `npm run sim`; it throws, with a trace, where an invariant is violated. */
export interface SimScenario {
  readonly name: string
  readonly title: string
  run(options: ScenarioOptions): Table
}

export function isScenario(value: unknown): value is SimScenario {
  const candidate = value as Partial<SimScenario> | null
  return (
    typeof candidate?.name === 'string' &&
    typeof candidate.title === 'string' &&
    typeof candidate.run === 'function'
  )
}
