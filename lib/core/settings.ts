import type { MirrorSet } from './cluster.ts'
import type { Subscribable } from './ports.ts'

/** How the tags of a registry are answered from peers. */
export interface TagRules {
  /** False: only digests are. */
  readonly resolve: boolean
  /** What becomes of a tag on which live nodes disagree: 404, or the digest that most of them hold. */
  readonly disputed: 'refuse' | 'majority'
}

/** What may change while a node runs, whoever decides it. */
export interface SettingsSet {
  readonly mirrors: MirrorSet
  /** Absent: every tag on which the nodes agree is answered, and no other. */
  readonly tagRules?: (registry: string) => TagRules
  /** May blobs of a registry be given on while they are still downloaded? Absent: of all. */
  readonly flights?: (registry: string) => boolean
}

/** The port through which settings reach the parts of a node; what is built from them can be rebuilt alone. */
export type Settings = Subscribable<SettingsSet>
