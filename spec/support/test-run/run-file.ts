import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { onEarlyExit } from '../processes.ts'
import { projectDir } from '../project.ts'
import type { TestResult } from './event-reporter.ts'

export interface FileResult {
  readonly file: string
  readonly results: readonly TestResult[]
  readonly durationMs: number
  /** Why the file as a whole failed, apart from its tests; undefined where it did not. */
  readonly problem: string | undefined
  /** What it printed; the end of it where that is much. */
  readonly output: string
}

const maxOutputBytes = 64 * 1024
let counter = 0

/** Ends the whole process group of a test file: the test, and what it started. */
function endGroup(child: ChildProcess, signal: NodeJS.Signals): void {
  if (child.pid === undefined) return
  try {
    process.kill(-child.pid, signal)
  } catch {}
}

function parseResults(text: string): TestResult[] {
  const results: TestResult[] = []
  for (const line of text.split('\n')) {
    if (line === '') continue
    try {
      results.push(JSON.parse(line) as TestResult)
    } catch {
      // The last line of a process that was killed may be cut.
    }
  }
  return results
}

/**
 * Runs one spec file in a process group of its own and waits for its end. A file that takes longer than `timeoutMs`
 * first gets SIGTERM, so that it can clean up, then SIGKILL; both are its failure.
 */
export async function runFile(file: string, timeoutMs: number): Promise<FileResult> {
  const startedMs = performance.now()
  counter += 1
  const resultsPath = join(tmpdir(), `starling-results-${process.pid}-${counter}.ndjson`)
  const child = spawn(
    process.execPath,
    [
      `--test-reporter=${join(import.meta.dirname, 'event-reporter.ts')}`,
      `--test-reporter-destination=${resultsPath}`,
      file,
    ],
    { cwd: projectDir, detached: true, stdio: ['ignore', 'pipe', 'pipe'] },
  )
  const forget = onEarlyExit(() => endGroup(child, 'SIGTERM'))
  let output = ''
  const collect = (chunk: Buffer) => {
    output = (output + chunk.toString('utf8')).slice(-maxOutputBytes)
  }
  child.stdout.on('data', collect)
  child.stderr.on('data', collect)
  let timedOut = false
  const gentle = setTimeout(() => {
    timedOut = true
    endGroup(child, 'SIGTERM')
  }, timeoutMs)
  const hard = setTimeout(() => endGroup(child, 'SIGKILL'), timeoutMs + 10_000)
  const [code, signal] = (await once(child, 'exit')) as [number | null, NodeJS.Signals | null]
  clearTimeout(gentle)
  clearTimeout(hard)
  endGroup(child, 'SIGKILL')
  forget()
  const results = parseResults(await readFile(resultsPath, 'utf8').catch(() => ''))
  await rm(resultsPath, { force: true })
  const failedTests = results.some((result) => result.outcome === 'failed')
  const problem = timedOut
    ? `did not end within ${Math.round(timeoutMs / 1000)} s`
    : results.length === 0
      ? `ran no test (${signal ?? `exit code ${code}`})`
      : code !== 0 && !failedTests
        ? `ended with ${signal ?? `exit code ${code}`}`
        : undefined
  return { file, results, durationMs: performance.now() - startedMs, problem, output }
}
