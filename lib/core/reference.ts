import { type Digest, isDigest } from './digest.ts'
import { StarlingError } from './errors.ts'

/** A parsed image name: `registry/repository[:tag][@digest]` (distribution reference grammar). */
export interface Reference {
  /** Host with port as written, `docker.io` for Docker Hub. */
  readonly registry: string
  /** Repository name without the registry: `library/alpine`. */
  readonly repository: string
  readonly tag: string | undefined
  readonly digest: Digest | undefined
}

const componentPattern = /^[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*$/
const tagPattern = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$/
const hostPattern =
  /^(?:\[[0-9a-fA-F:.]+\]|[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*)(?::[0-9]{1,5})?$/

/** A repository name as the distribution specification allows it, at most 255 characters. */
export function isRepository(text: string): boolean {
  return text.length <= 255 && text.split('/').every((component) => componentPattern.test(component))
}

export function isTag(text: string): boolean {
  return tagPattern.test(text)
}

/** A registry host with an optional port: `registry.example.com:5000`. */
export function isRegistryHost(text: string): boolean {
  return text.length <= 255 && hostPattern.test(text)
}

/**
 * The names under which the same registry is meant, as containerd and Docker know them: Docker Hub has several.
 */
export function canonicalRegistry(host: string): string {
  const lower = host.toLowerCase()
  return lower === 'index.docker.io' || lower === 'registry-1.docker.io' ? 'docker.io' : lower
}

/**
 * Parses an image name as containerd stores it. Names without a registry host (`alpine`, `me/tool`) belong to Docker Hub.
 * @throws StarlingError REFERENCE_INVALID
 */
export function parseReference(name: string): Reference {
  const fail = (why: string): never => {
    const shown = JSON.stringify(name.length > 200 ? `${name.slice(0, 200)}…` : name)
    throw new StarlingError('REFERENCE_INVALID', `${shown} is not an image reference: ${why}`, {
      hint: 'expected registry/repository:tag or registry/repository@sha256:…',
    })
  }
  if (name.length > 1024) fail('longer than 1024 characters')
  // CRI names images by the digest of their config as well; the grammar alone would read a repository `sha256`.
  if (isDigest(name)) fail('it is a digest without a name')
  const at = name.indexOf('@')
  const digestText = at === -1 ? undefined : name.slice(at + 1)
  if (digestText !== undefined && !isDigest(digestText)) fail('the digest is malformed')
  const rest = at === -1 ? name : name.slice(0, at)
  const colon = rest.lastIndexOf(':')
  const hasTag = colon > rest.lastIndexOf('/')
  const tag = hasTag ? rest.slice(colon + 1) : undefined
  if (tag !== undefined && !isTag(tag)) fail('the tag is malformed')
  const path = hasTag ? rest.slice(0, colon) : rest
  const slash = path.indexOf('/')
  const first = slash === -1 ? '' : path.slice(0, slash)
  const isHost = first === 'localhost' || first.includes('.') || first.includes(':')
  const registry = isHost ? canonicalRegistry(first) : 'docker.io'
  if (isHost && !isRegistryHost(first)) fail('the registry host is malformed')
  let repository = isHost ? path.slice(slash + 1) : path
  if (registry === 'docker.io' && !repository.includes('/')) repository = `library/${repository}`
  if (!isRepository(repository)) fail('the repository name is malformed')
  return { registry, repository, tag, digest: digestText as Digest | undefined }
}

/** Like `parseReference`, but undefined where the name is not a reference (containerd also holds `sha256:…` names). */
export function tryParseReference(name: string): Reference | undefined {
  try {
    return parseReference(name)
  } catch {
    return undefined
  }
}

export function formatReference(reference: Reference): string {
  const tag = reference.tag === undefined ? '' : `:${reference.tag}`
  const digest = reference.digest === undefined ? '' : `@${reference.digest}`
  return `${reference.registry}/${reference.repository}${tag}${digest}`
}

/** References that match one of these are neither announced nor answered. */
export const defaultExcludedReferences: readonly string[] = [':latest$']

/**
 * The one filter that stands at announcing and at answering (DESIGN §5). It sees `registry/repository:tag`.
 */
export class OfferFilter {
  readonly #excluded: readonly RegExp[]

  constructor(excluded: readonly RegExp[] = defaultExcludedReferences.map((text) => new RegExp(text))) {
    this.#excluded = excluded
  }

  offers(registry: string, repository: string, tag: string): boolean {
    const reference = `${registry}/${repository}:${tag}`
    return !this.#excluded.some((pattern) => pattern.test(reference))
  }
}
