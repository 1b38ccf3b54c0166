import type { MirrorSet } from './cluster.ts'
import type { Subscribable } from './ports.ts'

/** What may change while a node runs, whoever decides it. */
export interface SettingsSet {
  readonly mirrors: MirrorSet
}

/** The port through which settings reach the parts of a node; what is built from them can be rebuilt alone. */
export type Settings = Subscribable<SettingsSet>
