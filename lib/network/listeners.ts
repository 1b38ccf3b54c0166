import type { Listener } from '@libp2p/interface'
import type { Multiaddr } from '@multiformats/multiaddr'
import { describeError, StarlingError } from '../core/errors.ts'
import { type Endpoint, formatEndpoint } from '../core/peer.ts'
import { toEndpoint, toMultiaddr } from './multiaddrs.ts'

/** The part of libp2p's transport manager that opens ports. */
export interface ListenerFactory {
  listen(addresses: Multiaddr[]): Promise<void>
  getListeners(): Listener[]
}

/**
 * Opens the endpoints one by one (libp2p, given several at once, forgives an IPv6 one that fails) and returns them with
 * the port that was bound where 0 was asked for.
 * @throws StarlingError PORT_IN_USE, or INTERNAL with the system's reason
 */
export async function openListeners(
  factory: ListenerFactory,
  endpoints: readonly Endpoint[],
): Promise<readonly Endpoint[]> {
  const bound: Endpoint[] = []
  for (const endpoint of endpoints) {
    const before = new Set(factory.getListeners())
    try {
      await factory.listen([toMultiaddr(endpoint)])
    } catch (error) {
      throw toListenError(error, endpoint, 'TCP')
    }
    const listener = factory.getListeners().find((candidate) => !before.has(candidate))
    const [address] = listener?.getAddrs() ?? []
    const port = address === undefined ? endpoint.port : (toEndpoint(address)?.port ?? endpoint.port)
    bound.push({ host: endpoint.host, port })
  }
  return bound
}

/** The error for a port that could not be bound, with what to do. */
export function toListenError(error: unknown, endpoint: Endpoint, protocol: 'TCP' | 'UDP'): StarlingError {
  const where = `${protocol} ${formatEndpoint(endpoint)}`
  const text = describeError(error)
  if (text.includes('EADDRINUSE')) {
    return new StarlingError('PORT_IN_USE', `port ${endpoint.port} is taken: cannot listen on ${where}`, {
      hint: `stop what uses it (ss -lnp | grep :${endpoint.port}) or choose another port in p2p.listen`,
      cause: error,
    })
  }
  const reasons: Readonly<Record<string, [string, string]>> = {
    EADDRNOTAVAIL: ['this machine does not have that address', 'correct p2p.listen'],
    EACCES: ['permission denied', 'choose a port above 1023 in p2p.listen or run as root'],
  }
  const code = Object.keys(reasons).find((candidate) => text.includes(candidate))
  const [why, hint] = (code !== undefined && reasons[code]) || [text.split('\n', 1)[0], undefined]
  return new StarlingError('CONFIG_INVALID', `cannot listen on ${where}: ${why}`, { hint, cause: error })
}
