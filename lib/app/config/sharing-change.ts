import { isDeepStrictEqual } from 'node:util'
import type { NodeConfig } from '../../core/config.ts'

/** What a change of the configuration asks of the sharing part: nothing, other bounds of transfers, another listener, or to be built anew. */
export type SharingChange = 'none' | 'tune' | 'registry' | 'restart'

const restartKeys = [
  'p2p',
  'bootstrap',
  'store',
  'auditIntervalMs',
  'excludeReferences',
  'shareLatest',
  'shutdownGraceMs',
  'flightPatienceMs',
] as const

/** A listener at other ports is opened beside the old one; at the same port the old one must go first. */
export function sharingChange(before: NodeConfig, after: NodeConfig): SharingChange {
  if (restartKeys.some((key) => !isDeepStrictEqual(before[key], after[key]))) return 'restart'
  const listeners = ({ registry }: NodeConfig) => ({ ...registry, stallTimeoutMs: 0 })
  if (isDeepStrictEqual(listeners(before), listeners(after))) {
    const tuning = ({ registry, transfer }: NodeConfig) => [registry.stallTimeoutMs, transfer]
    return isDeepStrictEqual(tuning(before), tuning(after)) ? 'none' : 'tune'
  }
  const taken = new Set(before.registry.listen.map(({ port }) => port))
  return after.registry.listen.some(({ port }) => taken.has(port)) ? 'restart' : 'registry'
}
