import type { StoreBlob, StoreChange, StoreImage } from './content-store.ts'
import type { Digest } from './digest.ts'

/** What an image is known by: names are unique only within a namespace. */
export function imageKey(namespace: string, name: string): string {
  return `${namespace}\n${name}`
}

function sameList(a: readonly string[] | undefined, b: readonly string[] | undefined): boolean {
  if (a === b) return true
  return a?.length === b?.length && a?.every((value, index) => value === b?.[index]) === true
}

/** Do both tell the same of a blob? */
export function sameBlob(a: StoreBlob, b: StoreBlob): boolean {
  return (
    a.digest === b.digest &&
    a.sizeBytes === b.sizeBytes &&
    sameList(a.sources, b.sources) &&
    sameList(a.children, b.children)
  )
}

/** The state that a sequence of store changes adds up to; stores keep one to tell only what is new. */
export class StoreView {
  readonly images = new Map<string, StoreImage>()
  readonly blobs = new Map<Digest, StoreBlob>()

  apply(change: StoreChange): void {
    switch (change.type) {
      case 'snapshot':
        this.images.clear()
        this.blobs.clear()
        for (const image of change.images) this.images.set(imageKey(image.namespace, image.name), image)
        for (const blob of change.blobs) this.blobs.set(blob.digest, blob)
        break
      case 'image-put':
        this.images.set(imageKey(change.image.namespace, change.image.name), change.image)
        for (const blob of change.blobs) this.blobs.set(blob.digest, blob)
        break
      case 'image-deleted':
        this.images.delete(imageKey(change.namespace, change.name))
        break
      case 'blob-put':
        this.blobs.set(change.blob.digest, change.blob)
        break
      case 'blob-deleted':
        this.blobs.delete(change.digest)
    }
  }

  /** How many images and blobs of a listing are new, gone or different; 0 where a snapshot would tell nothing new. */
  differences(images: readonly StoreImage[], blobs: readonly StoreBlob[]): number {
    let known = 0
    let changed = 0
    for (const image of images) {
      const told = this.images.get(imageKey(image.namespace, image.name))
      if (told !== undefined) known += 1
      if (told?.target !== image.target) changed += 1
    }
    for (const blob of blobs) {
      const told = this.blobs.get(blob.digest)
      if (told !== undefined) known += 1
      if (told === undefined || !sameBlob(told, blob)) changed += 1
    }
    return changed + this.images.size + this.blobs.size - known
  }
}
