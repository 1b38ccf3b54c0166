import { lookup } from 'node:dns/promises'
import { isIP } from 'node:net'
import { networkInterfaces } from 'node:os'
import { describeError } from '../core/errors.ts'
import { type Endpoint, formatEndpoint } from '../core/peer.ts'
import type { Logger } from '../core/ports.ts'

/** A signed record has room for this many addresses. */
const maxAdvertised = 4
const maxBootstrapEndpoints = 256

function isWildcard(host: string): boolean {
  return host === '0.0.0.0' || host === '::'
}

function machineAddresses(family: 4 | 6): string[] {
  const wanted = family === 4 ? 'IPv4' : 'IPv6'
  return Object.values(networkInterfaces())
    .flatMap((list) => list ?? [])
    .filter((entry) => !entry.internal && entry.family === wanted && !entry.address.startsWith('fe80'))
    .map((entry) => entry.address)
}

/**
 * Where other nodes reach this one: what is configured, else the listening addresses with a wildcard replaced by the
 * addresses of the machine's interfaces (loopback where there are none).
 */
export function advertisedEndpoints(
  listen: readonly Endpoint[],
  configured: readonly Endpoint[],
): Endpoint[] {
  if (configured.length > 0) return configured.slice(0, maxAdvertised)
  const found = new Map<string, Endpoint>()
  for (const { host, port } of listen) {
    const hosts = !isWildcard(host)
      ? [host]
      : host === '::'
        ? [...machineAddresses(4), ...machineAddresses(6)]
        : machineAddresses(4)
    for (const address of hosts) found.set(`${address}|${port}`, { host: address, port })
    if (hosts.length === 0) found.set(`|${port}`, { host: '127.0.0.1', port })
  }
  return [...found.values()].slice(0, maxAdvertised)
}

/**
 * Resolves the bootstrap list: each name with all its A and AAAA records, as the system resolves names (hosts file
 * included). A name that does not resolve is logged and left out; our own endpoints are left out too.
 */
export async function resolveBootstrap(
  list: readonly { host: string; port: number }[],
  own: readonly Endpoint[],
  log: Logger,
): Promise<Endpoint[]> {
  const ownKeys = new Set(own.map((endpoint) => `${endpoint.host}|${endpoint.port}`))
  const found = new Map<string, Endpoint>()
  await Promise.all(
    list.map(async ({ host, port }) => {
      if (isIP(host) !== 0) {
        found.set(`${host}|${port}`, { host, port })
        return
      }
      try {
        for (const { address } of await lookup(host, { all: true })) {
          found.set(`${address}|${port}`, { host: address, port })
        }
      } catch (error) {
        log.warn({ host, error: describeError(error) }, 'bootstrap name does not resolve')
      }
    }),
  )
  return [...found.entries()]
    .filter(([key]) => !ownKeys.has(key))
    .map(([, endpoint]) => endpoint)
    .slice(0, maxBootstrapEndpoints)
}

/** The endpoints of `peers` that are not this node's own. */
export function othersOf(peers: readonly Endpoint[], own: readonly Endpoint[]): readonly Endpoint[] {
  const ours = new Set(own.map(formatEndpoint))
  return peers.filter((peer) => !ours.has(formatEndpoint(peer)))
}
