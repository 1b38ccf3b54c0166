import type { FileResult } from './run-file.ts'
import { describeFailures } from './summary.ts'

/** More failures than this in one run are no accidents. */
export const maxSecondTries = 2

/** A file that failed among others and passed alone: a defect of the test or of the product, to be mended. */
export interface Unsteady {
  readonly file: string
  readonly failures: string
}

/**
 * Runs files that failed a second time, each alone: a machine whose two cores are shared may starve one process among
 * twenty. One that fails again has failed, and where more than `left` failed nobody gets a second try.
 * @returns the results with those of second tries in place of the first ones, and what passed only then
 */
export async function giveSecondTries(
  results: readonly FileResult[],
  left: number,
  run: (file: string) => Promise<FileResult>,
): Promise<{ results: FileResult[]; unsteady: Unsteady[]; tries: number }> {
  const failed = results.filter((result) => describeFailures(result) !== '')
  if (failed.length === 0 || failed.length > left) {
    return { results: [...results], unsteady: [], tries: 0 }
  }
  const unsteady: Unsteady[] = []
  const replaced = new Map<string, FileResult>()
  for (const first of failed) {
    const second = await run(first.file)
    replaced.set(first.file, second)
    if (describeFailures(second) === '')
      unsteady.push({ file: first.file, failures: describeFailures(first) })
  }
  return {
    results: results.map((result) => replaced.get(result.file) ?? result),
    unsteady,
    tries: failed.length,
  }
}
