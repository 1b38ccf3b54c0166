import type { StoreChange } from '../core/content-store.ts'
import type { Digest } from '../core/digest.ts'
import type { Logger, Metrics } from '../core/ports.ts'
import type { StoreView } from '../core/store-view.ts'
import type { ContainerdClient } from './client.ts'
import type { ManifestCache } from './manifest-cache.ts'

/** How long things wait, in milliseconds. */
export interface StoreTiming {
  /** First and longest pause between attempts to connect. */
  readonly firstRetryMs: number
  readonly maxRetryMs: number
  /** Containerd must answer an ordinary call within this time. */
  readonly callTimeoutMs: number
  /** A containerd that is stopped keeps its connections; asking this often finds out. */
  readonly healthIntervalMs: number
  /**
   * The server begins to listen to its events some time after we ask it to, and does not say when: what happened in
   * that moment is found by listing once more, this long after the first listing.
   */
  readonly settleDelayMs: number
  /**
   * After an image is deleted containerd collects its blobs without a word; without a folder to watch we look after
   * this time.
   */
  readonly collectDelayMs: number
}

export const defaultTiming: StoreTiming = Object.freeze({
  firstRetryMs: 200,
  maxRetryMs: 5000,
  callTimeoutMs: 10_000,
  healthIntervalMs: 30_000,
  settleDelayMs: 2000,
  collectDelayMs: 3000,
})

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
  readonly timing: StoreTiming
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
