import type { CatalogService, CatalogTag } from '../core/cluster.ts'
import type { SettingsSet } from '../core/settings.ts'
import type { RunningMembership } from './membership/options.ts'
import { majorityDigest } from './registry/majority.ts'

const maxShown = 5
const maxNames = 3

/** A line for each tag on which live nodes disagree: both sides by name, and who decides. */
export function disputeLines(
  { catalog, membership }: { readonly catalog: CatalogService; readonly membership: RunningMembership },
  settings: SettingsSet,
): string[] {
  const disputed = catalog.summaries().reduce((sum, summary) => sum + summary.disputedTags, 0)
  if (disputed === 0) return []
  const nameOf = (peerId: CatalogTag['holders'][number]) => membership.get(peerId)?.record.name ?? peerId
  const byName = Map.groupBy(catalog.allTags(), (tag) => `${tag.registry}/${tag.repository}:${tag.tag}`)
  const lines: string[] = []
  for (const [name, sides] of byName) {
    if (sides.length < 2) continue
    if (lines.length === maxShown) break
    const shown = sides.map(
      ({ digest, holders }) => `${digest.slice(0, 19)} on ${listed(holders.map(nameOf).sort())}`,
    )
    const rules = settings.tagRules?.(sides[0]?.registry ?? '')
    const counted = sides.map(({ digest, holders }) => ({ digest, holders: holders.length }))
    const verdict =
      rules?.disputed === 'majority'
        ? `${majorityDigest(counted)?.slice(0, 19)} is served`
        : 'upstream decides'
    lines.push(`live nodes disagree on ${name}: ${shown.join('; ')}: ${verdict}`)
  }
  const more = disputed - lines.length
  return more > 0 ? [...lines, `live nodes disagree on ${more} more tags`] : lines
}

function listed(names: readonly string[]): string {
  const more = names.length - maxNames
  return `${names.slice(0, maxNames).join(', ')}${more > 0 ? ` and ${more} more` : ''}`
}
