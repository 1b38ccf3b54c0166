import { isShareable, type MirrorSet, noMirrors } from '../core/cluster.ts'
import { StarlingError } from '../core/errors.ts'
import { canonicalRegistry, isRegistryHost } from '../core/reference.ts'
import { deepFreeze } from './deep-freeze.ts'
import { type RegistriesDocument, registriesJsonSchema } from './registries-schema.ts'
import { createSchemaCheck } from './schema-check.ts'
import { pointerTo, readYaml, throwAll, type YamlPlace } from './yaml-source.ts'

/** One key of `mirrors`. */
export interface RegistryEntry {
  /** Canonical host, or `*`. */
  readonly registry: string
  /** URLs as written, in order. */
  readonly endpoints: readonly string[]
  /** Regular expression and replacement, in order. */
  readonly rewrites: readonly (readonly [pattern: string, replacement: string])[]
  /** Where the key stands. */
  readonly place: YamlPlace | undefined
}

/** What registries.yaml says. */
export interface RegistriesPlan {
  readonly mirrors: MirrorSet
  readonly entries: readonly RegistryEntry[]
  /** What was passed over, each with its place; code REGISTRIES_INVALID. */
  readonly warnings: readonly StarlingError[]
}

const code = 'REGISTRIES_INVALID'

const checkSchema = createSchemaCheck(registriesJsonSchema)

/**
 * Reads registries.yaml in the format of K3s and RKE2. Unknown keys are warnings, so that files of newer versions load;
 * an empty file mirrors nothing.
 * @throws StarlingError, StarlingErrors REGISTRIES_INVALID, a line for each error
 */
export function parseRegistries(content: string | Uint8Array, file: string): RegistriesPlan {
  const source = readYaml(content, file, code)
  if (source.value === undefined) return deepFreeze({ mirrors: noMirrors, entries: [], warnings: [] })
  const { errors, unknownKeys: warnings } = checkSchema(source, file, code)
  throwAll(errors)
  const document = source.value as RegistriesDocument
  const entries = new Map<string, RegistryEntry>()
  for (const [key, value] of Object.entries(document.mirrors ?? {})) {
    const place = source.placeOf(pointerTo('/mirrors', key), 'key')
    const warn = (message: string, hint: string) =>
      warnings.push(new StarlingError(code, message, { hint, position: { file, ...place } }))
    const shown = JSON.stringify(key.slice(0, 200))
    const registry = key === '*' ? key : canonicalRegistry(key)
    if (key !== '*' && !isRegistryHost(key)) {
      warn(`${shown} is not a registry host and is passed over`, keyHint(key))
    } else if (entries.has(registry)) {
      warn(`${shown} means ${registry}, which is here already, and is passed over`, 'join the two entries')
    } else {
      if (key !== '*' && !isShareable(registry)) {
        warn(`${shown} is not shared`, 'on every other machine that name means another registry')
      }
      entries.set(registry, {
        registry,
        endpoints: [...(value?.endpoint ?? [])],
        rewrites: Object.entries(value?.rewrite ?? {}),
        place,
      })
    }
  }
  const names = [...entries.keys()].filter((name) => name !== '*' && isShareable(name)).sort()
  return deepFreeze({
    mirrors: { names, wildcard: entries.has('*') },
    entries: [...entries.values()],
    warnings: warnings.toSorted((a, b) => (a.position?.line ?? 0) - (b.position?.line ?? 0)),
  })
}

function keyHint(key: string): string {
  const bare = key.replace(/^[a-z]+:\/\//i, '').replace(/\/.*$/, '')
  return bare !== key && isRegistryHost(bare)
    ? `write ${bare}, without scheme and path`
    : 'write a host with or without a port, such as registry.example.com:5000'
}
