import type { Digest } from '../../../lib/core/digest.ts'
import type { ClusterNode } from '../cluster/node-process.ts'
import type { NodePlace } from '../cluster.ts'
import type { TestImage } from '../oci-image.ts'

/** An image with its whole name. */
export interface DemoImage {
  readonly name: string
  readonly registry: string
  readonly repository: string
  readonly tag: string
  readonly image: TestImage
  readonly sizeBytes: number
}

export interface PullResult {
  readonly bytes: number
  readonly durationMs: number
  /** What was done, in one line. */
  readonly detail: string
  /** Digest that the tag led to. */
  readonly digest: Digest
}

/** The stores of the demo's nodes: embedded folders, or real containerds. */
export interface DemoStores extends AsyncDisposable {
  readonly kind: string
  /** The `store` of a node's configuration; starts what is behind it. */
  configFor(place: NodePlace): Promise<object>
  /** Puts an image into the store of a node; the last step makes it visible. Returns `performance.now()` before it. */
  add(node: ClusterNode, image: DemoImage): Promise<number>
  /** Pulls through the mirror of a node, which then holds the image itself. @throws Error where a byte is wrong */
  pull(node: ClusterNode, image: DemoImage): Promise<PullResult>
  /** What to try with `--keep`. */
  hints(node: ClusterNode, image: DemoImage): readonly string[]
}
