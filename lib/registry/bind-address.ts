import type { AddressInfo, Server } from 'node:net'
import { StarlingError, systemErrorCode } from '../core/errors.ts'
import { type Endpoint, formatEndpoint } from '../core/peer.ts'

/** `::` takes IPv4 too unless told otherwise, and would collide with `0.0.0.0` on the same port. */
export function needsIpv6Only(endpoint: Endpoint, all: readonly Endpoint[]): boolean {
  return (
    endpoint.host.includes(':') &&
    all.some((other) => !other.host.includes(':') && other.port === endpoint.port)
  )
}

/** Binds a server to an address. @throws StarlingError PORT_IN_USE; CONFIG_INVALID where the machine does not have the address */
export function bindAddress(
  server: Server,
  endpoint: Endpoint,
  options: { reusePort: boolean; ipv6Only: boolean },
): Promise<Endpoint> {
  return new Promise((resolve, reject) => {
    const fail = (error: Error): void => reject(listenError(error, endpoint))
    server.once('error', fail)
    server.listen({ host: endpoint.host, port: endpoint.port, exclusive: true, ...options }, () => {
      server.off('error', fail)
      const address = server.address() as AddressInfo
      resolve({ host: address.address, port: address.port })
    })
  })
}

function listenError(error: Error, endpoint: Endpoint): Error {
  const place = formatEndpoint(endpoint)
  const code = systemErrorCode(error)
  if (code === 'EADDRINUSE') {
    const kubernetes = endpoint.port === 6443 ? ' (a Kubernetes API server also uses 6443)' : ''
    return new StarlingError(
      'PORT_IN_USE',
      `port ${endpoint.port} of ${place} is already taken${kubernetes}`,
      {
        hint: 'stop what listens there, or set registry.listen to another address or port',
        cause: error,
      },
    )
  }
  if (code === 'EADDRNOTAVAIL' || code === 'EACCES') {
    const why = code === 'EACCES' ? 'needs more rights' : 'is not an address of this machine'
    return new StarlingError('CONFIG_INVALID', `cannot listen on ${place}: it ${why}`, {
      hint: 'set registry.listen to another address or port',
      cause: error,
    })
  }
  return error
}
