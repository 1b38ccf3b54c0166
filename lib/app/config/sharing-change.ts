import { isDeepStrictEqual } from 'node:util'
import type { NodeConfig } from '../../core/config.ts'
import { keysThatAsk } from './change-effects.ts'

/** What a change of the configuration asks of the sharing part: nothing, other bounds of transfers, another listener, or to be built anew. */
export type SharingChange = 'none' | 'tune' | 'registry' | 'restart'

const restartKeys = keysThatAsk('sharing')

/** Is the registry API to be served elsewhere, or by other threads? */
export function registryMoves(before: NodeConfig, after: NodeConfig): boolean {
  const listeners = ({ registry }: NodeConfig) => ({ ...registry, stallTimeoutMs: 0 })
  return !isDeepStrictEqual(listeners(before), listeners(after))
}

/** The most that a change asks for: a part that is built anew has all of the new configuration. */
export function sharingChange(before: NodeConfig, after: NodeConfig): SharingChange {
  if (restartKeys.some((key) => !isDeepStrictEqual(before[key], after[key]))) return 'restart'
  if (registryMoves(before, after)) return 'registry'
  const tuning = ({ registry, transfer }: NodeConfig) => [registry.stallTimeoutMs, transfer]
  return isDeepStrictEqual(tuning(before), tuning(after)) ? 'none' : 'tune'
}
