import { readFileSync } from 'node:fs'

/**
 * Milliseconds that go on only while this thread works or has nothing to do: what it waits for a core, because others
 * have it, is left out. Linux counts that for each thread, in nanoseconds (the second number of `schedstat`).
 */
export function coreClockMs(): number {
  const waitedNs = Number(readFileSync('/proc/thread-self/schedstat', 'utf8').split(' ')[1])
  return performance.now() - waitedNs / 1e6
}
