/**
 * Runs something with a signal that aborts after `timeoutMs`, or with one of `signals`. Unlike `AbortSignal.timeout` and
 * `AbortSignal.any` nothing of it lives on afterwards: strangers' connections go through here by the hundred a second,
 * and those two kept tens of megabytes.
 */
export async function within<T>(
  timeoutMs: number,
  signals: readonly (AbortSignal | undefined)[],
  run: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const controller = new AbortController()
  const timer = setTimeout(() => {
    controller.abort(new Error(`not done within ${timeoutMs} ms`))
  }, timeoutMs)
  const onAbort = (event: Event) => {
    controller.abort((event.target as AbortSignal).reason)
  }
  for (const signal of signals) {
    if (signal?.aborted === true) controller.abort(signal.reason)
    signal?.addEventListener('abort', onAbort)
  }
  try {
    return await run(controller.signal)
  } finally {
    clearTimeout(timer)
    for (const signal of signals) signal?.removeEventListener('abort', onAbort)
  }
}
