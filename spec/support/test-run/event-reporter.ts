import type { TestEvent } from 'node:test/reporters'

/** One finished test, as a line of JSON. */
export interface TestResult {
  /** Names from the outermost suite to the test. */
  readonly path: readonly string[]
  readonly outcome: 'passed' | 'failed' | 'skipped'
  readonly durationMs: number
  /** Reason of a skip, or error of a failure. */
  readonly detail: string
  readonly line: number | undefined
}

interface EventData {
  readonly name: string
  readonly nesting: number
  readonly line?: number
  readonly skip?: string | boolean
  readonly todo?: string | boolean
  readonly details?: { readonly duration_ms?: number; readonly type?: string; readonly error?: unknown }
}

interface TestFailure {
  readonly failureType?: string
  readonly cause?: unknown
}

function describeFailure(error: unknown): string {
  const cause = (error as TestFailure | undefined)?.cause ?? error
  if (!(cause instanceof Error)) return String(cause)
  const reasons: string[] = [cause.stack ?? cause.message]
  for (let inner = cause.cause; inner instanceof Error && reasons.length < 5; inner = inner.cause) {
    reasons.push(`because: ${inner.stack ?? inner.message}`)
  }
  return reasons.join('\n')
}

/** Suites count only where they are skipped or fail by themselves (a hook that throws). */
function resultOf(type: string, data: EventData, path: readonly string[]): TestResult | undefined {
  const isSuite = data.details?.type === 'suite'
  const error = data.details?.error
  const base = { path, durationMs: data.details?.duration_ms ?? 0, line: data.line }
  const skip = data.skip ?? data.todo
  if (skip !== undefined && skip !== false) {
    return { ...base, outcome: 'skipped', detail: typeof skip === 'string' ? skip : '' }
  }
  if (type === 'test:pass') return isSuite ? undefined : { ...base, outcome: 'passed', detail: '' }
  if ((error as TestFailure | undefined)?.failureType === 'subtestsFailed') return undefined
  return { ...base, outcome: 'failed', detail: describeFailure(error) }
}

/** A reporter for node:test: each result is written as one line of JSON (see `TestResult`). */
export default async function* eventReporter(source: AsyncIterable<TestEvent>): AsyncGenerator<string> {
  const names: string[] = []
  for await (const event of source) {
    const data = event.data as unknown as EventData
    if (event.type === 'test:start') {
      names.length = data.nesting
      names.push(data.name)
    }
    if (event.type === 'test:pass' || event.type === 'test:fail') {
      const result = resultOf(event.type, data, [...names.slice(0, data.nesting), data.name])
      if (result !== undefined) yield `${JSON.stringify(result)}\n`
    }
  }
}
