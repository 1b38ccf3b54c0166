import { isShareable, type MirrorSet, noMirrors } from '../core/cluster.ts'
import { StarlingError } from '../core/errors.ts'
import { canonicalRegistry, isRegistryHost } from '../core/reference.ts'
import { deepFreeze } from './deep-freeze.ts'
import { type EndpointUrl, parseEndpointUrl } from './endpoint-url.ts'
import { type HostSettings, readHostSettings, type Warn } from './host-settings.ts'
import { type MirrorDocument, type RegistriesDocument, registriesJsonSchema } from './registries-schema.ts'
import { type Rewrite, rewriteProblem } from './rewrite.ts'
import { createSchemaCheck } from './schema-check.ts'
import { pointerTo, readYaml, throwAll, type YamlPlace, type YamlSource } from './yaml-source.ts'

/** One key of `mirrors`. */
export interface RegistryEntry {
  /** Canonical host, or `*`. */
  readonly registry: string
  /** Those that can be used, in order, each once. */
  readonly endpoints: readonly EndpointUrl[]
  readonly rewrites: readonly (Rewrite & { readonly place: YamlPlace | undefined })[]
  /** Where the key stands. */
  readonly place: YamlPlace | undefined
}

/** What registries.yaml says. */
export interface RegistriesPlan {
  readonly file: string
  readonly mirrors: MirrorSet
  readonly entries: readonly RegistryEntry[]
  /** `configs`, by host with port as written. */
  readonly hosts: Readonly<Record<string, HostSettings>>
  /** What was passed over, each with its place; code REGISTRIES_INVALID. */
  readonly warnings: readonly StarlingError[]
}

const code = 'REGISTRIES_INVALID'

const checkSchema = createSchemaCheck(registriesJsonSchema)

/** The plan of a file that is absent or empty. */
export function emptyRegistries(file: string): RegistriesPlan {
  return deepFreeze({ file, mirrors: noMirrors, entries: [], hosts: Object.create(null), warnings: [] })
}

/**
 * Reads registries.yaml in the format of K3s and RKE2. Unknown keys are warnings, so that files of newer versions load,
 * and so are endpoints and patterns that can't be read: they are left out. An empty file mirrors nothing.
 * @throws StarlingError, StarlingErrors REGISTRIES_INVALID, a line for each error
 */
export function parseRegistries(content: string | Uint8Array, file: string): RegistriesPlan {
  const source = readYaml(content, file, code)
  if (source.value === undefined) return emptyRegistries(file)
  const { errors, unknownKeys: warnings } = checkSchema(source, file, code)
  throwAll(errors)
  const warn: Warn = (message, hint, place) => {
    warnings.push(new StarlingError(code, message, { hint, position: { file, ...place } }))
  }
  const document = source.value as RegistriesDocument
  const entries = readMirrors(document, source, warn)
  const hosts = readHostSettings(document, source, warn)
  const names = [...entries.keys()].filter((name) => name !== '*' && isShareable(name)).sort()
  return deepFreeze({
    file,
    mirrors: { names, wildcard: entries.has('*') },
    entries: [...entries.values()],
    hosts,
    warnings: warnings.toSorted(
      (a, b) =>
        (a.position?.line ?? 0) - (b.position?.line ?? 0) ||
        (a.position?.column ?? 0) - (b.position?.column ?? 0),
    ),
  })
}

function readMirrors(
  document: RegistriesDocument,
  source: YamlSource,
  warn: Warn,
): Map<string, RegistryEntry> {
  const entries = new Map<string, RegistryEntry>()
  for (const [key, value] of Object.entries(document.mirrors ?? {})) {
    const pointer = pointerTo('/mirrors', key)
    const place = source.placeOf(pointer, 'key')
    const shown = JSON.stringify(key.slice(0, 200))
    const registry = key === '*' ? key : canonicalRegistry(key)
    if (key !== '*' && !isRegistryHost(key)) {
      warn(`${shown} is not a registry host and is passed over`, keyHint(key), place)
    } else if (entries.has(registry)) {
      const message = `${shown} means ${registry}, which is here already, and is passed over`
      warn(message, 'join the two entries', place)
    } else {
      if (key !== '*' && !isShareable(registry)) {
        warn(`${shown} is not shared`, 'on every other machine that name means another registry', place)
      }
      entries.set(registry, {
        registry,
        endpoints: readEndpoints(value?.endpoint ?? [], `${pointer}/endpoint`, source, warn),
        rewrites: readRewrites(value?.rewrite ?? {}, `${pointer}/rewrite`, source, warn),
        place,
      })
    }
  }
  return entries
}

function readEndpoints(
  texts: readonly string[],
  pointer: string,
  source: YamlSource,
  warn: Warn,
): EndpointUrl[] {
  const found = new Map<string, EndpointUrl>()
  for (const [index, text] of texts.entries()) {
    const place = source.placeOf(pointerTo(pointer, index), 'value')
    const endpoint = parseEndpointUrl(text)
    if (typeof endpoint === 'string') {
      const message = `the endpoint ${JSON.stringify(hidePassword(text))} is left out: ${endpoint}`
      warn(message, 'write a URL such as https://mirror.example.com:5000', place)
    } else if (found.has(endpoint.url)) {
      warn(`the endpoint ${hidePassword(endpoint.url)} is here twice`, 'remove one of them', place)
    } else {
      found.set(endpoint.url, endpoint)
    }
  }
  return [...found.values()]
}

function hidePassword(url: string): string {
  return url.slice(0, 200).replace(/\/\/[^/]*@/, '//…@')
}

function readRewrites(
  rewrites: NonNullable<MirrorDocument['rewrite']>,
  pointer: string,
  source: YamlSource,
  warn: Warn,
): RegistryEntry['rewrites'] {
  return Object.entries(rewrites).flatMap(([pattern, replacement]) => {
    const place = source.placeOf(pointerTo(pointer, pattern), 'key')
    const problem = rewriteProblem({ pattern, replacement })
    if (problem === undefined) return [{ pattern, replacement, place }]
    const message = `the rewrite ${JSON.stringify(pattern.slice(0, 100))} is left out: ${problem}`
    warn(message, 'write a regular expression in the syntax of RE2', place)
    return []
  })
}

function keyHint(key: string): string {
  const bare = key.replace(/^[a-z]+:\/\//i, '').replace(/\/.*$/, '')
  return bare !== key && isRegistryHost(bare)
    ? `write ${bare}, without scheme and path`
    : 'write a host with or without a port, such as registry.example.com:5000'
}
