import { type Checkpoint, verifyCheckpoint } from '../../catalog/checkpoint.ts'
import { type InstallOutcome, installInventory } from '../../catalog/install.ts'
import type { OriginEntry } from '../../catalog/origin-table.ts'
import type { SentInventory } from '../../catalog/read-inventories.ts'
import type { CatalogContext, MirroredRegistry } from './context.ts'

/** What became of an inventory that a neighbour sent or the disk kept, for the metric. */
export type SentOutcome = InstallOutcome | 'unknown-origin' | 'forged' | 'dropped'

/** Proves an inventory against the signature of its origin and puts it in; `installed` hears of it then. */
export async function installSent(
  context: CatalogContext,
  mirrored: MirroredRegistry,
  sent: SentInventory,
  basis: Checkpoint | undefined,
  installed: (mirrored: MirroredRegistry, entry: OriginEntry) => void,
): Promise<SentOutcome> {
  const origin = context.memberByShortId(sent.shortId)
  const entry = origin === undefined ? undefined : context.entryOf(mirrored, origin)
  if (origin === undefined || entry === undefined) return 'unknown-origin'
  if (!verifyCheckpoint(mirrored.name, sent.checkpoint, context.keyOf(origin))) return 'forged'
  const steps = installInventory(mirrored.state, entry, sent.checkpoint, sent.content, basis)
  const outcome = await context.run(mirrored, steps)
  if (outcome !== 'installed') return outcome ?? 'dropped'
  context.changed(mirrored)
  installed(mirrored, entry)
  return outcome
}
