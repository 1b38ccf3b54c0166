import { describeError } from '../core/errors.ts'
import type { Exchange, Found, RegistryServices } from './exchange.ts'
import type { LocalBlob } from './local-store.ts'

/** Path and query under which a peer is asked for what was found. */
export function peerPath(kind: 'blobs' | 'manifests', name: string, found: Found): string {
  return `/v2/${name}/${kind}/${found.digest}?ns=${encodeURIComponent(found.registry)}`
}

/**
 * The blob of the local store, where the catalog says that it is there. Where it is gone or the store fails, the control
 * plane hears of it and the peers are next.
 */
export async function openLocal(
  exchange: Exchange,
  services: RegistryServices,
  found: Found,
): Promise<LocalBlob | undefined> {
  if (!found.local) return undefined
  try {
    const blob = await services.store.open(found.digest)
    if (blob !== undefined) return blob
    exchange.reason = 'the local store has lost it'
  } catch (error) {
    exchange.reason = `the local store failed: ${describeError(error)}`
  }
  services.control.missing(found.digest)
  return undefined
}
