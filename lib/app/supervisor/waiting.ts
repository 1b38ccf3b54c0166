/**
 * Resolves when `wake` is called, after `timeoutMs`, or when `signal` aborts, whichever comes first.
 * @param subscribe takes the function that wakes; returns the one that ends it
 */
export function waitForChange(
  subscribe: (wake: () => void) => () => void,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<void> {
  if (signal.aborted) return Promise.resolve()
  return new Promise((resolve) => {
    const end = () => {
      clearTimeout(timer)
      unsubscribe()
      signal.removeEventListener('abort', end)
      resolve()
    }
    const timer = setTimeout(end, timeoutMs)
    const unsubscribe = subscribe(end)
    signal.addEventListener('abort', end, { once: true })
  })
}

/** A pause that an abort cuts short; never rejects. */
export function pause(durationMs: number, signal: AbortSignal): Promise<void> {
  return waitForChange(() => () => undefined, durationMs, signal)
}
