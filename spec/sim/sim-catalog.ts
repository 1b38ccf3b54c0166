import type { CatalogService } from '../../lib/core/cluster.ts'
import type { BroadcastVerdict } from '../../lib/core/messaging.ts'
import type { PeerId } from '../../lib/core/peer-id.ts'
import type { Identity } from '../catalog/support.ts'

/** Hands a message to a node; undefined where that does not run or has not joined. */
export type Hearer = (
  node: SimCatalog,
  registry: string,
  from: PeerId,
  message: Uint8Array,
) => BroadcastVerdict | undefined

type Answer = (from: PeerId, frame: Uint8Array) => AsyncIterable<Uint8Array> | Iterable<Uint8Array>

/** One life of a node, from a start to its end. */
export interface Life {
  readonly catalog: CatalogService
  readonly topics: Set<string>
  listener: (registry: string, from: PeerId, message: Uint8Array) => BroadcastVerdict
  answer: Answer | undefined
  /** For I6: the newest state of each origin that this life has shown to others. */
  readonly shown: Map<string, readonly [number, number]>
}

/** A node with a catalog: what survives its lives, and the present one. */
export interface SimCatalog {
  readonly name: string
  readonly identity: Identity
  /** What is on its disk. */
  epoch: number
  life: Life | undefined
}
