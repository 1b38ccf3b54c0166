import type { Digest } from './digest.ts'

export type Labels = Readonly<Record<string, string>>

/** What an image's name points to. */
export interface ImageTarget {
  readonly mediaType: string
  readonly digest: Digest
  readonly sizeBytes: number
}

export interface NewImage {
  readonly name: string
  readonly target: ImageTarget
  readonly labels: Labels
}

/** An image of the store with its labels. */
export interface LabelledImage {
  readonly namespace: string
  readonly name: string
  readonly target: Digest
  readonly labels: Labels
}

export interface StoredBlob {
  readonly digest: Digest
  readonly sizeBytes: number
}

/**
 * Puts images into a content store. The caller sees to it that one intake is open at a time in a store.
 * Everything throws StarlingError STORE_UNAVAILABLE where the store can't be reached, DISK_FULL where it is full.
 */
export interface ImageWriter {
  readonly kind: 'containerd' | 'oci-layout'
  /** Clears what an earlier intake left that broke off, and begins one. */
  begin(): Promise<ImageIntake>
  /** All images of the namespace that is written to. */
  images(): Promise<readonly LabelledImage[]>
  /** Sets labels of an image, and takes those away that are undefined. False where there is no such image. */
  labelImage(name: string, labels: Readonly<Record<string, string | undefined>>): Promise<boolean>
  /** Adds labels to a blob; does nothing where it is absent, or the store has no labels. */
  labelBlob(digest: Digest, labels: Labels): Promise<void>
  sizeOf(digest: Digest): Promise<number | undefined>
  /** A whole blob of at most 4 MiB; undefined where it is absent or larger. */
  readSmall(digest: Digest): Promise<Uint8Array | undefined>
  close(): Promise<void>
}

/** One import: nothing of it counts, and all of it is collected, unless `publish` resolves. */
export interface ImageIntake {
  /** Stores the bytes of `source`, which is read to its end. The caller compares the digest. */
  addBlob(source: AsyncIterable<Uint8Array>): Promise<StoredBlob>
  /** Of this intake or of the store. */
  sizeOf(digest: Digest): Promise<number | undefined>
  readSmall(digest: Digest): Promise<Uint8Array | undefined>
  /** Keeps the blobs, with these labels, and then names the images, also those that had another target. */
  publish(blobs: ReadonlyMap<Digest, Labels>, images: readonly NewImage[]): Promise<void>
  /** Lets go of what was not published. */
  close(): Promise<void>
}
