import type { IncomingHttpHeaders } from 'node:http'
import { type Digest, isDigest } from '../core/digest.ts'
import { canonicalRegistry, isRegistryHost, isRepository, isTag } from '../core/reference.ts'
import type { OciFailure } from './oci-error.ts'

/** Which part of a sorted list is asked for (OCI distribution specification, "Listing Tags"). */
export interface PageQuery {
  /** Most names in the answer; undefined where the client named no bound. */
  readonly limit: number | undefined
  /** The list begins after this name. */
  readonly after: string | undefined
}

export type RegistryRoute =
  | { readonly kind: 'base' }
  | { readonly kind: 'manifest'; readonly name: string; readonly tag: string }
  | { readonly kind: 'manifest'; readonly name: string; readonly digest: Digest }
  | { readonly kind: 'blob'; readonly name: string; readonly digest: Digest }
  | { readonly kind: 'chunk-map'; readonly name: string; readonly digest: Digest }
  | { readonly kind: 'tags'; readonly name: string; readonly page: PageQuery }
  | { readonly kind: 'catalog'; readonly page: PageQuery }

/** A request that is well-formed; whether anything answers to it is another matter. */
export interface RegistryRequest {
  readonly head: boolean
  readonly route: RegistryRoute
  /** Canonical registry of `ns`; undefined where the request had none. */
  readonly registry: string | undefined
  /** It came from another Starling, or was redirected by one: local content only. */
  readonly fromPeer: boolean
}

/** The header by which a proxying node marks its requests. */
export const hopHeader = 'starling-hop'

/** The header by which a client of this node names a request, to ask the ops API later what became of it. */
export const requestIdHeader = 'starling-request'

const maxUrlLength = 4096
const maxLastLength = 512

/** The name that a client gave to its request; one that is malformed counts as none. */
export function requestIdOf(headers: IncomingHttpHeaders): string | undefined {
  const id = headers[requestIdHeader]
  return typeof id === 'string' && /^[A-Za-z0-9-]{1,64}$/.test(id) ? id : undefined
}

function failure(status: number, code: OciFailure['code'], message: string): { failure: OciFailure } {
  return { failure: { status, code, message } }
}

function shown(text: string): string {
  return JSON.stringify(text.length > 100 ? `${text.slice(0, 100)}…` : text)
}

type Parsed<T> = { readonly value: T } | { readonly failure: OciFailure }

/**
 * Reads method, path, query and headers of a request (OCI distribution specification, "Endpoints"; containerd's `ns`).
 * Pure and total: what is not a request of ours comes back as the failure to answer.
 */
export function parseRequest(
  method: string,
  url: string,
  headers: IncomingHttpHeaders,
): Parsed<RegistryRequest> {
  if (url.length > maxUrlLength) {
    return failure(414, 'NAME_INVALID', `the request target is longer than ${maxUrlLength} characters`)
  }
  const target = url.replace(/^https?:\/\/[^/?#]*/i, '')
  const mark = target.indexOf('?')
  const path = (mark === -1 ? target : target.slice(0, mark)).replace(/%3a/gi, ':')
  const query = new URLSearchParams(mark === -1 ? '' : target.slice(mark + 1))
  if (path !== '/v2' && !path.startsWith('/v2/')) {
    return failure(
      404,
      'UNSUPPORTED',
      `${shown(path)} is not a path of the registry API, which begins with /v2/`,
    )
  }
  if (method !== 'GET' && method !== 'HEAD') {
    return {
      failure: {
        status: 405,
        code: 'UNSUPPORTED',
        message: `this mirror is read-only: ${method.slice(0, 20)} is not served`,
        headers: { allow: 'GET, HEAD' },
      },
    }
  }
  const registry = parseRegistry(query)
  if ('failure' in registry) return registry
  const route = parseRoute(path, query)
  if ('failure' in route) return route
  const fromPeer = headers[hopHeader] === '1' || query.get('hop') === '1'
  return { value: { head: method === 'HEAD', route: route.value, registry: registry.value, fromPeer } }
}

function parseRegistry(query: URLSearchParams): Parsed<string | undefined> {
  const names = [...new Set(query.getAll('ns'))]
  if (names.length === 0 || (names.length === 1 && names[0] === '')) return { value: undefined }
  const [name = ''] = names
  if (names.length > 1) return failure(400, 'NAME_INVALID', 'the request names more than one registry in ns')
  if (!isRegistryHost(name)) {
    return failure(400, 'NAME_INVALID', `ns=${shown(name)} is not a registry host with an optional port`)
  }
  return { value: canonicalRegistry(name) }
}

function parseRoute(path: string, query: URLSearchParams): Parsed<RegistryRoute> {
  if (path === '/v2' || path === '/v2/') return { value: { kind: 'base' } }
  if (path === '/v2/_catalog') {
    const page = parsePage(query)
    return 'failure' in page ? page : { value: { kind: 'catalog', page: page.value } }
  }
  const match = /^\/v2\/(.+)\/(manifests|blobs|tags|referrers)\/([^/]*)$/s.exec(path)
  if (match === null) return failure(404, 'UNSUPPORTED', `${shown(path)} is not a path of the registry API`)
  const [, name = '', kind, last = ''] = match
  if (!isRepository(name)) return failure(400, 'NAME_INVALID', `${shown(name)} is not a repository name`)
  if (kind === 'manifests') return parseManifestRoute(name, last)
  if (kind === 'tags') {
    if (last !== 'list')
      return failure(404, 'UNSUPPORTED', `tags/${shown(last)} is not a path of the registry API`)
    const page = parsePage(query)
    return 'failure' in page ? page : { value: { kind: 'tags', name, page: page.value } }
  }
  if (!isDigest(last)) return malformedDigest(last)
  if (kind === 'blobs') {
    const mapAsked = query.get('chunk-map') === '1'
    return { value: { kind: mapAsked ? 'chunk-map' : 'blob', name, digest: last } }
  }
  return failure(
    404,
    'UNSUPPORTED',
    'the referrers API is not served by this mirror; ask the registry itself',
  )
}

function parseManifestRoute(name: string, reference: string): Parsed<RegistryRoute> {
  if (isDigest(reference)) return { value: { kind: 'manifest', name, digest: reference } }
  if (reference.includes(':')) return malformedDigest(reference)
  if (isTag(reference)) return { value: { kind: 'manifest', name, tag: reference } }
  return failure(404, 'MANIFEST_UNKNOWN', `${shown(reference)} is neither a tag nor a digest`)
}

function malformedDigest(text: string): Parsed<never> {
  return failure(
    400,
    'DIGEST_INVALID',
    `${shown(text)} is not a digest: expected sha256: and 64 lower-case hexadecimal digits`,
  )
}

function parsePage(query: URLSearchParams): Parsed<PageQuery> {
  const limit = query.get('n')
  const after = query.get('last')
  if (limit !== null && !/^\d{1,9}$/.test(limit)) {
    return failure(400, 'PAGINATION_NUMBER_INVALID', `n=${shown(limit)} is not a number of names`)
  }
  if (after !== null && after.length > maxLastLength) {
    return failure(400, 'NAME_INVALID', `last= is longer than ${maxLastLength} characters`)
  }
  return { value: { limit: limit === null ? undefined : Number(limit), after: after ?? undefined } }
}
