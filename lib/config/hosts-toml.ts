import { hash } from 'node:crypto'
import { parse } from 'smol-toml'
import { StarlingError } from '../core/errors.ts'
import { type Endpoint, formatEndpoint } from '../core/peer.ts'
import { isWildcardIp } from './ip.ts'
import type { HostEntry, RegistryHosts } from './registry-hosts.ts'

/** What was in the place of a file of ours before: cleanup makes it so again. */
export type HostsBefore = 'nothing' | 'folder' | 'file'

/** Whose file it is: `modified` began as ours and was changed by somebody. */
export type HostsOwner = 'ours' | 'modified' | 'foreign'

const ownerLine =
  '# Written by starling configure. It updates this file as long as nobody else has changed it.'
const hashPrefix = '# sha256:'
const beforePrefix = '# Here before: '

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

/** The keys of one host, in the order in which they are written; tables come apart. */
function plainKeys(host: HostEntry): Record<string, unknown> {
  return {
    ...(host.pullOnly ? { capabilities: ['pull', 'resolve'] } : {}),
    ...(host.ca === undefined ? {} : { ca: host.ca }),
    // A list of pairs; a lone file holds certificate and key.
    ...(host.client === undefined
      ? {}
      : { client: host.client.length === 2 ? [[...host.client]] : host.client[0] }),
    ...(host.skipVerify === true ? { skip_verify: true } : {}),
    ...(host.overridePath === true ? { override_path: true } : {}),
    ...(host.dialTimeout === undefined ? {} : { dial_timeout: host.dialTimeout }),
  }
}

function tables(host: HostEntry): Record<string, Record<string, string>> {
  return {
    ...(host.authorization === undefined ? {} : { header: { Authorization: host.authorization } }),
    ...((host.rewrites?.length ?? 0) === 0 ? {} : { rewrite: Object.fromEntries(host.rewrites ?? []) }),
  }
}

function tomlValue(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(tomlValue).join(', ')}]`
  return typeof value === 'string' ? tomlString(value) : String(value)
}

function lines(host: HostEntry, path: string, indent: string): string[] {
  return [
    ...Object.entries(plainKeys(host)).map(([key, value]) => `${indent}${key} = ${tomlValue(value)}`),
    ...Object.entries(tables(host)).flatMap(([name, content]) => [
      `${indent}[${path}${name}]`,
      ...Object.entries(content).map(
        ([key, value]) => `${indent}  ${tomlString(key)} = ${tomlString(value)}`,
      ),
    ]),
  ]
}

function body({ hosts, server }: RegistryHosts): string {
  const top = [
    ...(server?.url === undefined ? [] : [`server = ${tomlString(server.url)}`]),
    ...(server === undefined ? [] : lines(server, '', '')),
  ]
  const rest = hosts.map((host) => {
    const path = `host.${tomlString(host.url ?? '')}`
    return [`[${path}]`, ...lines(host, `${path}.`, '  ')].join('\n')
  })
  // Containerd 1.6 passes over a file that has no `host` table at all (measured, 1.6.20).
  const all = rest.length === 0 ? ['[host]'] : rest
  return `${[...(top.length === 0 ? [] : [top.join('\n')]), ...all].join('\n\n')}\n`
}

/** What a TOML parser must find in the text. */
function content({ hosts, server }: RegistryHosts): unknown {
  return {
    ...(server?.url === undefined ? {} : { server: server.url }),
    ...(server === undefined ? {} : { ...plainKeys(server), ...tables(server) }),
    host: Object.fromEntries(hosts.map((host) => [host.url ?? '', { ...plainKeys(host), ...tables(host) }])),
  }
}

/**
 * The text of `hosts.toml`: whose it is, the SHA-256 of what follows the second line, what was there before, and what
 * containerd reads. @throws StarlingError INTERNAL where a TOML parser reads something else
 */
export function renderHostsToml(file: RegistryHosts, before: HostsBefore): string {
  const rest = `${beforePrefix}${before}\n${body(file)}`
  const text = `${ownerLine}\n${hashPrefix}${hash('sha256', rest, 'hex')}\n${rest}`
  if (canonical(readToml(text)) !== canonical(content(file))) {
    throw new StarlingError(
      'INTERNAL',
      `the hosts.toml of ${file.registry} does not read back as it was meant`,
    )
  }
  return text
}

function readToml(text: string): unknown {
  try {
    return parse(text)
  } catch {
    return undefined
  }
}

/** JSON with sorted keys. */
function canonical(value: unknown): string {
  return JSON.stringify(value, (_, inner: unknown) =>
    typeof inner === 'object' && inner !== null && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1)))
      : inner,
  )
}

/** What was in the place of a file of ours; files of the first version don't say. */
export function beforeOf(text: string): HostsBefore {
  const third = text.split('\n', 3)[2] ?? ''
  const said = third.startsWith(beforePrefix) ? third.slice(beforePrefix.length) : ''
  return said === 'folder' || said === 'file' ? said : 'nothing'
}

/** Recognises our own files. */
export function ownerOf(text: string): HostsOwner {
  const [first = '', second = ''] = text.split('\n', 2)
  if (first.trimEnd() !== ownerLine) return 'foreign'
  const rest = text.slice(first.length + 1 + second.length + 1)
  return second === `${hashPrefix}${hash('sha256', rest, 'hex')}` ? 'ours' : 'modified'
}
