import type { StoreChange } from '../core/content-store.ts'
import type { Digest } from '../core/digest.ts'
import type { Logger, Metrics } from '../core/ports.ts'
import type { StoreView } from '../core/store-view.ts'
import type { ContainerdClient } from './client.ts'
import type { ManifestCache } from './manifests.ts'

/** What the parts of one connection share. */
export interface SessionContext {
  readonly client: ContainerdClient
  readonly namespaces: readonly string[]
  /** The content folder, where it can be read. */
  readonly contentPath: string | undefined
  /** What was told to the listener. */
  readonly view: StoreView
  readonly manifests: ManifestCache
  /** Manifests that a present index or image names and that are not there yet: should one come, its children matter. */
  readonly awaited: Set<Digest>
  readonly log: Logger
  readonly metrics: Metrics
}

/** So many awaited manifests are remembered; beyond, an audit finds the children. */
export const maxAwaited = 50_000

export function awaitManifests(context: SessionContext, digests: readonly Digest[]): void {
  for (const digest of digests) {
    if (context.awaited.size < maxAwaited) context.awaited.add(digest)
  }
}

/** Tells the listener a change and records it as told. */
export type Tell = (change: StoreChange) => Promise<void>
