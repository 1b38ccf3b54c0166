import type { NodeConfig } from '../core/config.ts'
import { defaultExcludedReferences } from '../core/reference.ts'
import type { TagRules } from '../core/settings.ts'
import { mirrorUrl } from './hosts-toml.ts'
import type { RegistriesPlan } from './registries-file.ts'
import { hasOnlyMirror } from './registry-hosts.ts'

/** Patterns of the references that are neither announced nor answered. */
export function excludedReferences(config: NodeConfig): readonly string[] {
  return [...(config.shareLatest === true ? [] : defaultExcludedReferences), ...config.excludeReferences]
}

/** How the tags of each registry are answered from peers. */
export function tagRules(config: NodeConfig, plan: RegistriesPlan): (registry: string) => TagRules {
  const { resolveTags = {}, disputedTags = 'auto', disableDefaultRegistryEndpoint = false } = config
  const own = mirrorUrl(config.registry.listen)
  return (registry) => ({
    resolve: (Object.hasOwn(resolveTags, registry) ? resolveTags[registry] : resolveTags['*']) ?? true,
    disputed:
      disputedTags === 'majority' ||
      (disputedTags === 'auto' && hasOnlyMirror(plan, registry, disableDefaultRegistryEndpoint, own))
        ? 'majority'
        : 'refuse',
  })
}

/** May blobs of a registry be given on while they are still downloaded? */
export function flightRules({ flights = {} }: NodeConfig): (registry: string) => boolean {
  return (registry) => flights[registry] ?? flights['*'] ?? true
}
