import type { Digest } from './digest.ts'

/** A blob that is whole and present. */
export interface StoreBlob {
  readonly digest: Digest
  readonly sizeBytes: number
  /** Registries that its `containerd.io/distribution.source.*` labels name (containerd drops the port there). */
  readonly sources: readonly string[]
  /** Set where the blob is a manifest or an index: the digests that it names, present or not. */
  readonly children: readonly Digest[] | undefined
}

/** A named image. `name` is verbatim: `docker.io/library/alpine:3`, but also `sha256:…` (CRI). */
export interface StoreImage {
  readonly namespace: string
  readonly name: string
  readonly target: Digest
}

/**
 * What a store tells. A `snapshot` replaces all that was told before (after a start, a reconnect or an audit);
 * the others are small steps. Only blobs that are present are ever told.
 */
export type StoreChange =
  | {
      readonly type: 'snapshot'
      readonly images: readonly StoreImage[]
      readonly blobs: readonly StoreBlob[]
    }
  | { readonly type: 'image-put'; readonly image: StoreImage; readonly blobs: readonly StoreBlob[] }
  | { readonly type: 'image-deleted'; readonly namespace: string; readonly name: string }
  | { readonly type: 'blob-put'; readonly blob: StoreBlob }
  | { readonly type: 'blob-deleted'; readonly digest: Digest }

export interface StoreStatus {
  readonly kind: 'containerd' | 'oci-layout'
  readonly state: 'connected' | 'waiting' | 'stopped'
  /** Version of containerd, or of the layout. */
  readonly version: string | undefined
  /** Why it is not connected, in one line. */
  readonly problem: string | undefined
  /** Wall clock, milliseconds since 1970, of the last change of state. */
  readonly sinceMs: number
}

/** A blob that is open; it stays readable when the store deletes it meanwhile. */
export interface BlobHandle {
  readonly sizeBytes: number
  /** Changes whenever the file is written; undefined where the store can't tell, and content never changes. */
  readonly stamp?: string
  /** Reads up to `target.length` bytes at `offset`; returns how many, 0 only at the end. */
  read(target: Uint8Array, offset: number): Promise<number>
  close(): Promise<void>
}

/** `open`: being written; `done`: complete and checked; `gone`: given up. */
export type GrowingState = 'open' | 'done' | 'gone'

/** A blob that is being written into the store: what there is of it is a prefix, unverified until it is `done`. */
export interface GrowingBlob {
  /** How far it is, and the size that it will have, where known; always where it is done. */
  look(): Promise<{
    readonly state: GrowingState
    readonly reachedBytes: number
    readonly sizeBytes: number | undefined
  }>
  /** Reads up to `target.length` bytes at `offset`; returns how many. */
  read(target: Uint8Array, offset: number): Promise<number>
  close(): Promise<void>
}

/** Reads blobs; made on its own in each worker from a `BlobSource`. */
export interface BlobReader {
  /** Undefined where the blob is not there. @throws StarlingError STORE_UNAVAILABLE */
  open(digest: Digest): Promise<BlobHandle | undefined>
  /**
   * The blob while it is being written, or as it was committed. Undefined where there is neither; absent where the store
   * shows nothing of what is being written. @throws StarlingError STORE_UNAVAILABLE
   */
  openGrowing?(digest: Digest): Promise<GrowingBlob | undefined>
  close(): Promise<void>
}

/** How to read blobs, as plain data that can be sent to a worker thread. */
export type BlobSource =
  | {
      readonly kind: 'containerd'
      /** The folder that holds `blobs/sha256/`; undefined where it is unknown or can't be read. */
      readonly contentPath: string | undefined
      readonly socket: string
      readonly namespaces: readonly string[]
    }
  | { readonly kind: 'oci-layout'; readonly path: string }

/**
 * The images and blobs of this machine. The contract suite in spec/support holds every implementation to it.
 */
export interface ContentStore {
  /**
   * Begins to watch; resolves at once, also where the store is not there yet (it is retried with back-off).
   * `listener` hears a snapshot first. Its promise is awaited before the next change is told.
   */
  start(listener: (change: StoreChange) => void | Promise<void>): Promise<void>
  stop(): Promise<void>
  status(): StoreStatus
  /** Lists anew and tells a snapshot where something differs from what was told. */
  audit(): Promise<void>
  reader(): BlobReader
  source(): BlobSource
}
