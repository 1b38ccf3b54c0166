import { canonicalRegistry, isRegistryHost } from '../core/reference.ts'

const sourcePrefix = 'containerd.io/distribution.source.'
const maxSources = 64

/** The registries that a blob's labels say it came from, sorted; containerd drops their ports. */
export function sourcesOf(labels: Readonly<Record<string, string>>): string[] {
  const sources = new Set<string>()
  for (const key of Object.keys(labels)) {
    const host = key.startsWith(sourcePrefix) ? key.slice(sourcePrefix.length) : ''
    if (sources.size < maxSources && isRegistryHost(host)) sources.add(canonicalRegistry(host))
  }
  return [...sources].sort()
}

/** Both lists in one, sorted, each once. */
export function mergeSources(a: readonly string[], b: readonly string[]): readonly string[] {
  if (b.length === 0) return a
  return a.length === 0 ? b : [...new Set([...a, ...b])].sort()
}
