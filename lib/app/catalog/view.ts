import { waysToBeWhole } from '../../catalog/image-ways.ts'
import {
  findHolders,
  findTag,
  hasLiveTag,
  liveDigestCount,
  liveHolders,
  livePairs,
  liveRepositories,
  liveTags,
} from '../../catalog/lookups.ts'
import { holdersOfAny, soleDigests } from '../../catalog/questions.ts'
import type { CatalogService, CatalogTag, HolderSample, RegistrySummary } from '../../core/cluster.ts'
import type { CatalogContext, MirroredRegistry } from './context.ts'

/** The part of the service that reads: local memory only. */
export type CatalogView = Pick<
  CatalogService,
  | 'registries'
  | 'findHolders'
  | 'findTag'
  | 'hasLocal'
  | 'expect'
  | 'registryOf'
  | 'repositories'
  | 'tags'
  | 'allTags'
  | 'summaries'
  | 'digestCountOf'
  | 'wholeHolders'
  | 'soleDigests'
>

const nobody: HolderSample = { holders: 0, peers: [] }

interface KeptSummary {
  readonly summary: RegistrySummary
  readonly version: number
  /** Not made anew before this: counting takes a tenth of the time at most. */
  readonly untilMs: number
}

export function createCatalogView(context: CatalogContext): CatalogView {
  const { registries, local, options } = context
  const kept = new WeakMap<MirroredRegistry, KeptSummary>()

  function summaryOf(mirrored: MirroredRegistry): RegistrySummary {
    const known = kept.get(mirrored)
    const startedMs = options.clock.monotonicMs()
    if (known !== undefined && (known.version === mirrored.version || startedMs < known.untilMs)) {
      return known.summary
    }
    const summary = summarise(context, mirrored)
    const now = options.clock.monotonicMs()
    kept.set(mirrored, { summary, version: mirrored.version, untilMs: now + 9 * (now - startedMs) })
    return summary
  }

  return {
    registries: () => [...registries.keys()].sort(),
    findHolders(registry, digest, limit) {
      const mirrored = registries.get(registry)
      return mirrored === undefined ? nobody : findHolders(mirrored.state, digest, limit, options.rng)
    },
    findTag(registry, repository, tag) {
      const mirrored = registries.get(registry)
      return mirrored === undefined ? { state: 'unknown' } : findTag(mirrored.state, repository, tag)
    },
    hasLocal: (registry, digest) => registries.has(registry) && local.hasDigest(registry, digest),
    expect: (registry, digest) => local.expect(registry, digest),
    registryOf(repository) {
      let found: string | undefined
      for (const { name, state } of registries.values()) {
        if (!hasLiveTag(state, repository) && !local.hasRepository(name, repository)) continue
        if (found !== undefined) return 'ambiguous'
        found = name
      }
      return found
    },
    repositories(registry) {
      const mirrored = registries.get(registry)
      return mirrored === undefined ? [] : liveRepositories(mirrored.state)
    },
    tags(registry, repository) {
      const mirrored = registries.get(registry)
      return mirrored === undefined ? [] : liveTags(mirrored.state, repository)
    },
    allTags: () => allTags(context),
    summaries: () =>
      [...registries.values()].map(summaryOf).sort((a, b) => (a.registry < b.registry ? -1 : 1)),
    digestCountOf(origin) {
      let total = 0
      for (const { state } of registries.values())
        total += state.origins.get(origin)?.sets.digests.length ?? 0
      return total
    },
    wholeHolders(registry, target) {
      const mirrored = registries.get(registry)
      const ways = waysToBeWhole(target, (digest) => local.blob(digest))
      return mirrored === undefined || ways === undefined ? undefined : holdersOfAny(mirrored.state, ways)
    },
    *soleDigests(holder) {
      for (const { name, state } of registries.values()) {
        for (const digest of soleDigests(state, holder)) yield { registry: name, digest }
      }
    },
  }
}

function summarise(context: CatalogContext, mirrored: MirroredRegistry): RegistrySummary {
  const { state, name } = mirrored
  let tags = 0
  let disputedTags = 0
  for (const repository of state.tags.repositories()) {
    for (const tag of state.tags.tagsOf(repository)) {
      const found = findTag(state, repository, tag)
      if (found.state !== 'unknown') tags += 1
      if (found.state === 'disputed') disputedTags += 1
    }
  }
  let origins = 0
  for (const origin of state.origins.all()) if (origin.checkpoint !== undefined) origins += 1
  const offered = context.local.count(name)
  return {
    registry: name,
    origins,
    localDigests: offered.digests,
    localTags: offered.tags,
    localImages: offered.images,
    digests: liveDigestCount(state),
    tags,
    disputedTags,
  }
}

/** The holders of a tag are looked up only where somebody reads them: they may be thousands. */
function allTags(context: CatalogContext): CatalogTag[] {
  const tags: CatalogTag[] = []
  for (const { name, state } of context.registries.values()) {
    for (const { repository, tag, digest } of livePairs(state)) {
      tags.push({
        registry: name,
        repository,
        tag,
        digest,
        get holders() {
          return [...liveHolders(state, digest)]
        },
      })
    }
  }
  const order = (tag: CatalogTag) => `${tag.registry}/${tag.repository}:${tag.tag}@${tag.digest}`
  return tags
    .map((tag) => ({ tag, order: order(tag) }))
    .sort((a, b) => (a.order < b.order ? -1 : 1))
    .map(({ tag }) => tag)
}
