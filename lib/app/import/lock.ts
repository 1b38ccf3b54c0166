import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { StarlingError } from '../../core/errors.ts'
import { type DataDirLock, lockDataDir } from '../data-dir.ts'

const retryMs = 250

/** Folder of what imports remember. */
export function importDir(dataDir: string): string {
  return join(dataDir, 'import')
}

/**
 * One import at a time, of the node or a command; waits for another process to end its own.
 * @throws StarlingError CONFIG_INVALID, DISK_FULL, and the reason of `signal`
 */
export async function lockImports(
  dataDir: string,
  options: { readonly signal?: AbortSignal; readonly onWait?: () => void } = {},
): Promise<DataDirLock> {
  for (let told = false; ; ) {
    options.signal?.throwIfAborted()
    try {
      return await lockDataDir(importDir(dataDir))
    } catch (error) {
      if (!(error instanceof StarlingError && error.code === 'DATA_DIR_LOCKED')) throw error
    }
    if (!told) options.onWait?.()
    told = true
    await delay(retryMs, undefined, options.signal === undefined ? {} : { signal: options.signal })
  }
}
