import type { Digest } from '../core/digest.ts'
import type { Candidate } from '../core/lookup.ts'
import { formatEndpoint } from '../core/peer.ts'
import { chooseRedirect, type RedirectVerdict } from '../selection/redirect.ts'
import type { Exchange, Found, RegistryServices } from './exchange.ts'
import { askPeersForSize } from './peer-head.ts'
import { peerPath } from './sources.ts'

/**
 * Sends the client to a holder where the mode and all that is known allow it; false: the bytes go through this node. The query
 * says `hop=1`, so that the holder answers from its own content alone. Where none was heard from lately, or its certificate was not seen yet,
 * the first one is asked for the size of the blob: in a large cluster hardly anybody was heard from a moment ago.
 */
export async function redirected(
  exchange: Exchange,
  services: RegistryServices,
  name: string,
  found: Found,
): Promise<boolean> {
  const { mode } = services.limits.transfer
  if (mode === 'proxy' || exchange.request.fromPeer) return false
  const path = peerPath('blobs', name, found)
  let { candidates } = found
  let verdict = judge(exchange, services, found.digest, candidates)
  const first = candidates.find(({ reach }) => reach === 'complete')
  if ('proxied' in verdict && verdict.proxied === 'holders' && first !== undefined) {
    const { digest } = found
    const { signal } = exchange.out
    const { sizeBytes } = await askPeersForSize({ digest, path, candidates: [first], signal }, services)
    if (sizeBytes !== undefined) {
      candidates = [{ ...first, heardAgoMs: 0 }]
      verdict = judge(exchange, services, digest, candidates)
    }
  }
  const peer = 'holder' in verdict ? candidates[verdict.holder]?.peer : undefined
  services.metrics.count('starling_redirects_total', {
    outcome: 'proxied' in verdict ? verdict.proxied : 'sent',
  })
  if (peer === undefined || 'proxied' in verdict) return false
  const host = formatEndpoint({ host: verdict.address, port: peer.registryPort })
  exchange.peers = [peer.name]
  exchange.reason = `sent to ${peer.name} (1 of ${found.holders} ${found.holders === 1 ? 'holder' : 'holders'})`
  exchange.redirect(found.digest, `https://${host}${path}&hop=1`)
  return true
}

function judge(
  exchange: Exchange,
  services: RegistryServices,
  digest: Digest,
  candidates: readonly Candidate[],
): RedirectVerdict {
  return chooseRedirect({
    mode: services.limits.transfer.mode,
    userAgent: exchange.headers['user-agent'],
    ranged: exchange.headers.range !== undefined,
    sizeBytes: services.cache.descriptor(digest)?.sizeBytes ?? services.cache.claimedSize(digest),
    holders: candidates.map(({ peer, reach, heardAgoMs }) => ({
      complete: reach === 'complete',
      heardAgoMs,
      address: services.peers.namedAddress(peer),
    })),
  })
}
