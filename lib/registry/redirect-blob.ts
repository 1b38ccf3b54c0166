import { formatEndpoint } from '../core/peer.ts'
import { chooseRedirect } from '../selection/redirect.ts'
import type { Exchange, Found, RegistryServices } from './exchange.ts'
import { peerPath } from './sources.ts'

/**
 * Sends the client to a holder where the mode and all that is known allow it; false: the bytes go through this node. The query
 * says `hop=1`, so that the holder answers from its own content alone. A holder whose certificate was not seen yet is asked by this node
 * first.
 */
export function redirected(
  exchange: Exchange,
  services: RegistryServices,
  name: string,
  found: Found,
): boolean {
  const { digest, candidates } = found
  const { mode } = services.limits.transfer
  if (mode === 'proxy' || exchange.request.fromPeer) return false
  const verdict = chooseRedirect({
    mode,
    userAgent: exchange.headers['user-agent'],
    ranged: exchange.headers.range !== undefined,
    sizeBytes: services.cache.descriptor(digest)?.sizeBytes ?? services.cache.claimedSize(digest),
    holders: candidates.map(({ peer, reach, heardAgoMs }) => ({
      complete: reach === 'complete',
      heardAgoMs,
      address: services.peers.namedAddress(peer),
    })),
  })
  const peer = 'holder' in verdict ? candidates[verdict.holder]?.peer : undefined
  services.metrics.count('starling_redirects_total', {
    outcome: 'proxied' in verdict ? verdict.proxied : 'sent',
  })
  if (peer === undefined || 'proxied' in verdict) return false
  const host = formatEndpoint({ host: verdict.address, port: peer.registryPort })
  exchange.peers = [peer.name]
  exchange.reason = `sent to ${peer.name} (1 of ${found.holders} ${found.holders === 1 ? 'holder' : 'holders'})`
  exchange.redirect(digest, `https://${host}${peerPath('blobs', name, found)}&hop=1`)
  return true
}
