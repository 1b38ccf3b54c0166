import { isDeepStrictEqual } from 'node:util'
import type { NodeConfig } from '../../core/config.ts'

/**
 * What a changed key asks of a running node: it counts at once; the registry API is served anew, or has other bounds; the sharing
 * part is built anew; or it waits for the next start, because the node is bound to it.
 */
type ChangeEffect = 'at once' | 'registry' | 'sharing' | 'next start'

const effects: Readonly<Record<keyof NodeConfig, ChangeEffect>> = {
  node: 'next start',
  dataDir: 'next start',
  ops: 'next start',
  log: 'next start',
  metrics: 'next start',
  shutdownGraceMs: 'next start',
  join: 'next start',
  registry: 'registry',
  transfer: 'registry',
  p2p: 'sharing',
  bootstrap: 'sharing',
  store: 'sharing',
  auditIntervalMs: 'sharing',
  excludeReferences: 'sharing',
  shareLatest: 'sharing',
  flightPatienceMs: 'sharing',
  registries: 'at once',
  trust: 'at once',
  images: 'at once',
  certsDir: 'at once',
  disableDefaultRegistryEndpoint: 'at once',
  manageHosts: 'at once',
  removeHostsAtStop: 'at once',
  resolveTags: 'at once',
  flights: 'at once',
  disputedTags: 'at once',
  supervisor: 'at once',
}

export function keysThatAsk(effect: ChangeEffect): readonly (keyof NodeConfig)[] {
  return (Object.keys(effects) as (keyof NodeConfig)[]).filter((key) => effects[key] === effect)
}

/** Where a server listens, and what its certificate names, is settled when it starts. */
function placeOfServer({ supervisor }: NodeConfig): object | undefined {
  return supervisor && { ...supervisor, certificateLifetimeMs: 0, embeddedRegistry: false, metrics: false }
}

/** Keys whose change counts only from the next start. */
export function waitingKeys(running: NodeConfig, next: NodeConfig): (keyof NodeConfig)[] {
  const keys = keysThatAsk('next start').filter((key) => !isDeepStrictEqual(running[key], next[key]))
  return isDeepStrictEqual(placeOfServer(running), placeOfServer(next)) ? keys : [...keys, 'supervisor']
}
