import { isIPv4, isIPv6 } from 'node:net'
import {
  CODE_IP4,
  CODE_IP6,
  CODE_IP6ZONE,
  CODE_TCP,
  type Multiaddr,
  multiaddr,
} from '@multiformats/multiaddr'
import { StarlingError } from '../core/errors.ts'
import { plainHost } from '../core/host-rates.ts'
import { type Endpoint, formatEndpoint } from '../core/peer.ts'

/**
 * The libp2p form of an endpoint, `/ip4/10.0.0.1/tcp/5001`; an IPv6 zone (`fe80::1%eth0`) is kept.
 * @throws StarlingError INTERNAL where the host is a name: names are resolved before they get here
 */
export function toMultiaddr(endpoint: Endpoint): Multiaddr {
  const { host, port } = endpoint
  if (isIPv4(host)) return multiaddr(`/ip4/${host}/tcp/${port}`)
  if (!isIPv6(host)) throw new StarlingError('INTERNAL', `${JSON.stringify(host)} is not an IP address`)
  const [address = host, zone] = host.split('%')
  const base = `/ip6/${address}/tcp/${port}`
  return multiaddr(zone === undefined ? base : `/ip6zone/${zone}${base}`)
}

/** The endpoint of a TCP multiaddr; IPv4 addresses that came through an IPv6 socket lose their prefix. */
export function toEndpoint(address: Multiaddr): Endpoint | undefined {
  let host: string | undefined
  let port: number | undefined
  let zone = ''
  for (const part of address.getComponents()) {
    if (part.code === CODE_IP6ZONE && part.value !== undefined) zone = `%${part.value}`
    if (part.code === CODE_IP4 || part.code === CODE_IP6) host = part.value
    if (part.code === CODE_TCP) port = Number(part.value)
  }
  return host === undefined || port === undefined ? undefined : { host: plainHost(host) + zone, port }
}

/** For logs. */
export function describeAddress(address: Multiaddr): string {
  const endpoint = toEndpoint(address)
  return endpoint === undefined ? address.toString() : formatEndpoint(endpoint)
}
