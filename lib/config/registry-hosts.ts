import { isMirrored, isShareable } from '../core/cluster.ts'
import { StarlingError } from '../core/errors.ts'
import { canonicalRegistry } from '../core/reference.ts'
import { type EndpointUrl, parseEndpointUrl, withPath } from './endpoint-url.ts'
import type { HostSettings } from './host-settings.ts'
import type { RegistriesPlan, RegistryEntry } from './registries-file.ts'
import { prefixOf } from './rewrite.ts'

/** One place that containerd asks. */
export interface HostEntry {
  /** Undefined only for the registry itself in `_default`, which has many. */
  readonly url: string | undefined
  /** Only for pulls; undefined leaves containerd's default, which may push too. */
  readonly pullOnly: boolean
  /** Paths of PEM files. */
  readonly ca?: string | undefined
  readonly client?: readonly [cert: string] | readonly [cert: string, key: string] | undefined
  readonly skipVerify?: boolean
  readonly overridePath?: boolean
  readonly authorization?: string | undefined
  readonly rewrites?: readonly (readonly [pattern: string, replacement: string])[]
  /** How long a connection may take, for containerd 2.x; older ones pass over the key. */
  readonly dialTimeout?: string
}

/** What containerd must know of a registry: `hosts` in this order, then `server`. */
export interface RegistryHosts {
  /** Canonical registry host, or `*` for all that have no folder of their own. */
  readonly registry: string
  readonly hosts: readonly HostEntry[]
  readonly server: HostEntry | undefined
  /** A password stands in it. */
  readonly secret: boolean
}

/** This node's mirror as containerd reaches it. */
export interface MirrorAccess {
  /** `https://127.0.0.1:6443` */
  readonly url: string
  readonly ca: string
  readonly clientCert: string
  readonly clientKey: string
}

export interface HostsOptions {
  /** Undefined: nothing is shared, only the endpoints count. */
  readonly mirror: MirrorAccess | undefined
  /** Containerd never asks a registry that has mirrors itself. */
  readonly disableDefaultEndpoint: boolean
}

const mirrorDialTimeout = '1s'
const plainSettings: HostSettings = {
  tls: { caFile: undefined, certFile: undefined, keyFile: undefined, skipVerify: false },
  authorization: undefined,
  hasIdentityToken: false,
  place: undefined,
}

/** Settings are found by host with port as written, for Docker Hub under its two names; never under `*`. */
export function settingsOf(plan: RegistriesPlan, host: string): HostSettings | undefined {
  const hub = host === 'docker.io' || host === 'registry-1.docker.io' || host === 'index.docker.io'
  const names = hub ? ['registry-1.docker.io', 'docker.io'] : [host]
  return names.map((name) => plan.hosts[name]).find((settings) => settings !== undefined)
}

/** Has the registry an entry of its own under `configs`? Then it keeps its default endpoint, as in K3s. */
function keepsDefault(plan: RegistriesPlan, registry: string): boolean {
  return registry === '*' ? plan.hosts['*'] !== undefined : settingsOf(plan, registry) !== undefined
}

/** Does containerd find nothing but this node's mirror for a registry: no endpoint, and the default disabled? */
export function hasOnlyMirror(
  plan: RegistriesPlan,
  registry: string,
  disableDefaultEndpoint: boolean,
  mirrorUrl: string | undefined,
): boolean {
  if (!disableDefaultEndpoint || !isMirrored(plan.mirrors, registry)) return false
  const own = plan.entries.find((entry) => entry.registry === registry)
  if (keepsDefault(plan, registry)) return false
  const entry = own ?? plan.entries.find(({ registry: name }) => name === '*')
  return (entry?.endpoints ?? []).every(({ url }) => isMirror(url, mirrorUrl))
}

/** Each registry with what containerd must know of it; one for which there is nothing to say is left out. */
export function desiredHosts(plan: RegistriesPlan, options: HostsOptions): RegistryHosts[] {
  const names = new Set(plan.entries.map(({ registry }) => registry))
  for (const host of Object.keys(plan.hosts)) names.add(host === '*' ? host : canonicalRegistry(host))
  return [...names].flatMap((registry) => hostsOf(plan, registry, options) ?? [])
}

function hostsOf(plan: RegistriesPlan, registry: string, options: HostsOptions): RegistryHosts | undefined {
  const entry = plan.entries.find((candidate) => candidate.registry === registry)
  const shared =
    options.mirror !== undefined &&
    (registry === '*' ? plan.mirrors.wildcard : isShareable(registry) && isMirrored(plan.mirrors, registry))
  const hosts: HostEntry[] = shared && options.mirror !== undefined ? [mirrorEntry(options.mirror)] : []
  const disabled =
    options.disableDefaultEndpoint && !keepsDefault(plan, registry) && (entry !== undefined || shared)
  const standard = defaultEndpoint(registry)
  let server = disabled ? undefined : defaultEntry(plan, registry, standard)
  const endpoints = (entry?.endpoints ?? []).filter(
    ({ url }) => !shared || !isMirror(url, options.mirror?.url),
  )
  for (const [index, endpoint] of endpoints.entries()) {
    const host = endpointEntry(plan, endpoint, entry)
    const isLast = index + 1 === endpoints.length
    if (isLast && server !== undefined && endpoint.url === standard?.url)
      server = { ...host, pullOnly: false }
    else hosts.push(host)
  }
  if (disabled) server = hosts.pop()
  if (server === undefined || (hosts.length === 0 && !saysSomething(server))) return undefined
  const secret = [...hosts, server].some((host) => holdsSecret(host))
  return { registry, hosts, server: isNothing(server) ? undefined : server, secret }
}

/** As K3s and RKE2 are told of this node's mirror: it is in front already. */
function isMirror(url: string, mirrorUrl: string | undefined): boolean {
  return mirrorUrl !== undefined && url === `${mirrorUrl}/v2`
}

function mirrorEntry({ url, ca, clientCert, clientKey }: MirrorAccess): HostEntry {
  return { url, pullOnly: true, ca, client: [clientCert, clientKey], dialTimeout: mirrorDialTimeout }
}

function defaultEndpoint(registry: string): EndpointUrl | undefined {
  const parsed = registry === '*' ? '' : parseEndpointUrl(registry)
  return typeof parsed === 'string' ? undefined : parsed
}

function defaultEntry(plan: RegistriesPlan, registry: string, standard: EndpointUrl | undefined): HostEntry {
  const settings = registry === '*' ? plan.hosts['*'] : settingsOf(plan, registry)
  const access = accessOf(settings ?? plainSettings)
  // A password for all registries would be shown to every one of them.
  return registry === '*'
    ? { ...access, authorization: undefined, url: undefined, pullOnly: false }
    : { ...access, url: serverUrl(registry, standard), pullOnly: false }
}

/** Without `/v2`, which containerd adds: shorter to read, and the same. */
function serverUrl(registry: string, standard: EndpointUrl | undefined): string {
  return standard?.url.replace(/\/v2$/, '') ?? `https://${registry}`
}

function endpointEntry(
  plan: RegistriesPlan,
  endpoint: EndpointUrl,
  entry: RegistryEntry | undefined,
): HostEntry {
  const rewrites = entry?.rewrites ?? []
  const [only] = rewrites
  const prefix = rewrites.length === 1 && only !== undefined ? prefixOf(only) : undefined
  // Either the path or the rewrite: where containerd knows rewrites, both together would put the prefix in front twice.
  const used =
    prefix === undefined ? endpoint : withPath(endpoint, `${endpoint.path.replace(/\/$/, '')}/${prefix}`)
  return {
    ...accessOf(settingsOf(plan, endpoint.host) ?? plainSettings),
    url: used.url,
    pullOnly: true,
    overridePath: used.overridePath,
    rewrites: prefix === undefined ? rewrites.map(({ pattern, replacement }) => [pattern, replacement]) : [],
  }
}

function accessOf({ tls, authorization }: HostSettings): Partial<HostEntry> {
  const { caFile, certFile, keyFile, skipVerify } = tls
  const client: HostEntry['client'] =
    certFile === undefined ? undefined : keyFile === undefined ? [certFile] : [certFile, keyFile]
  return { ca: caFile, client, skipVerify, authorization }
}

function saysSomething(host: HostEntry): boolean {
  return (
    host.ca !== undefined ||
    host.client !== undefined ||
    host.skipVerify === true ||
    host.authorization !== undefined ||
    host.overridePath === true ||
    (host.rewrites?.length ?? 0) > 0 ||
    host.dialTimeout !== undefined ||
    host.pullOnly
  )
}

function isNothing(host: HostEntry): boolean {
  return host.url === undefined && !saysSomething(host)
}

function holdsSecret({ authorization, url }: HostEntry): boolean {
  return authorization !== undefined || (url ?? '').includes('@')
}

/** What works in some containerds only, with the line that asks for it. */
export function hostsWarnings(plan: RegistriesPlan, options: HostsOptions): StarlingError[] {
  const at = (place: RegistryEntry['place'], message: string, hint: string) =>
    new StarlingError('REGISTRIES_INVALID', message, { hint, position: { file: plan.file, ...place } })
  const found: StarlingError[] = []
  for (const { registry, rewrites, endpoints } of plan.entries) {
    const [only] = rewrites
    if (endpoints.length === 0 || only === undefined) continue
    if (rewrites.length === 1 && prefixOf(only) !== undefined) continue
    for (const { pattern, place } of rewrites) {
      const message = `the rewrite ${JSON.stringify(pattern)} of ${registry} works only with the containerd of K3s and RKE2`
      const hint =
        'any other asks the endpoints for the unchanged name; only a prefix (^(.*)$ to prefix/$1) works everywhere'
      found.push(at(place, message, hint))
    }
  }
  const wildcard = plan.entries.find(({ registry }) => registry === '*')
  for (const [host, { place, authorization, hasIdentityToken }] of Object.entries(plan.hosts)) {
    if (host === '*' && authorization !== undefined) {
      found.push(at(place, 'the password for "*" is not written', 'name the hosts that may see it'))
    }
    if (hasIdentityToken) {
      const hint = `put it into containerd's own configuration, registry.configs."${host}".auth`
      found.push(at(place, `the identity token of ${host} cannot be written to hosts.toml`, hint))
    }
    const covered = plan.entries.some(({ registry }) => registry === canonicalRegistry(host))
    if ((wildcard?.endpoints.length ?? 0) > 0 && !covered && host !== '*' && options.mirror !== undefined) {
      const hint = `add ${host} under mirrors with the endpoints that it should have`
      found.push(
        at(place, `${host} gets a file of its own, so the endpoints of "*" do not hold for it`, hint),
      )
    }
  }
  return found
}
