import { hash } from 'node:crypto'
import { type Endpoint, formatEndpoint } from '../core/peer.ts'
import { isWildcardIp } from './ip.ts'

/** What containerd needs for a registry: this node's mirror first, then the registry itself. */
export interface HostsEntry {
  /** Canonical registry host, or `*` for all that have no folder of their own. */
  readonly registry: string
  /** `https://127.0.0.1:6443` */
  readonly mirrorUrl: string
  /** Paths of PEM files. */
  readonly ca: string
  readonly clientCert: string
  readonly clientKey: string
}

/** Whose file it is: `modified` began as ours and was changed by somebody. */
export type HostsOwner = 'ours' | 'modified' | 'foreign'

const ownerLine =
  '# Written by starling configure. It updates this file as long as nobody else has changed it.'
const hashPrefix = '# sha256:'

/** A TOML basic string (TOML 1.0, "String"). */
export function tomlString(text: string): string {
  const escaped = text.replaceAll(/["\\]|\p{Cc}/gu, (char) => {
    if (char === '"' || char === '\\') return `\\${char}`
    return `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`
  })
  return `"${escaped}"`
}

/**
 * The folder of a registry below `certs.d`. Containerd looks first for `host_port_`, then for `host:port`, then for
 * `_default` (containerd, docs/hosts.md); the second is what everybody writes.
 */
export function hostsFolder(registry: string): string {
  return registry === '*' ? '_default' : registry
}

/** The folder that containerd prefers to `hostsFolder`; undefined for a host without port. */
export function shadowingFolder(registry: string): string | undefined {
  const match = /^(.+):(\d+)$/.exec(registry)
  return match === null ? undefined : `${match[1]}_${match[2]}_`
}

/** Where containerd goes when the mirror has nothing; undefined for `*`: containerd then adds each registry itself. */
export function defaultServer(registry: string): string | undefined {
  if (registry === '*') return undefined
  if (registry === 'docker.io') return 'https://registry-1.docker.io'
  const isLoopback = /^(?:localhost|127(?:\.\d+){3}|\[::1\]):(?!443$)\d+$/.test(registry)
  return `${isLoopback ? 'http' : 'https'}://${registry}`
}

/** The URL under which this machine reaches its own mirror: loopback where that is listened on. */
export function mirrorUrl(listen: readonly Endpoint[]): string | undefined {
  const usable = listen.filter((endpoint) => endpoint.port !== 0)
  const best =
    usable.find((endpoint) => isWildcardIp(endpoint.host)) ??
    usable.find((endpoint) => endpoint.host.startsWith('127.') || endpoint.host === '::1') ??
    usable[0]
  if (best === undefined) return undefined
  return `https://${formatEndpoint({ ...best, host: isWildcardIp(best.host) ? '127.0.0.1' : best.host })}`
}

function body(entry: HostsEntry): string {
  const server = defaultServer(entry.registry)
  return [
    ...(server === undefined ? [] : [`server = ${tomlString(server)}`, '']),
    `[host.${tomlString(entry.mirrorUrl)}]`,
    '  capabilities = ["pull", "resolve"]',
    `  ca = ${tomlString(entry.ca)}`,
    `  client = [[${tomlString(entry.clientCert)}, ${tomlString(entry.clientKey)}]]`,
    '',
  ].join('\n')
}

/** The text of `hosts.toml`, with a first line that says whose it is and the SHA-256 of what follows the second. */
export function renderHostsToml(entry: HostsEntry): string {
  const rest = body(entry)
  return `${ownerLine}\n${hashPrefix}${hash('sha256', rest, 'hex')}\n${rest}`
}

/** Recognises our own files. */
export function ownerOf(text: string): HostsOwner {
  const [first = '', second = ''] = text.split('\n', 2)
  if (first.trimEnd() !== ownerLine) return 'foreign'
  const rest = text.slice(first.length + 1 + second.length + 1)
  return second === `${hashPrefix}${hash('sha256', rest, 'hex')}` ? 'ours' : 'modified'
}
