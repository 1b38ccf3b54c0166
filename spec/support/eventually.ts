import { setTimeout as delay } from 'node:timers/promises'

/**
 * Waits until `check` returns something other than undefined, null or false, and returns that.
 * Errors that it throws count as "not yet". @throws Error with the last reason after `timeoutMs`
 */
export async function eventually<T>(
  check: () => T | Promise<T>,
  options: { timeoutMs?: number; intervalMs?: number; what?: string } = {},
): Promise<NonNullable<T>> {
  const { timeoutMs = 10_000, intervalMs = 20, what = 'the condition' } = options
  const deadline = performance.now() + timeoutMs
  let reason: unknown
  for (;;) {
    try {
      const value = await check()
      if (value !== undefined && value !== null && value !== false) return value as NonNullable<T>
      reason = undefined
    } catch (error) {
      reason = error
    }
    if (performance.now() >= deadline) {
      const last = reason instanceof Error ? `: ${reason.message}` : ''
      throw new Error(`${what} did not come true within ${timeoutMs} ms${last}`, { cause: reason })
    }
    await delay(intervalMs)
  }
}
