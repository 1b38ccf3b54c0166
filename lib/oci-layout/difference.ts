import type { StoreChange, StoreImage } from '../core/content-store.ts'
import { imageKey, type StoreView, sameBlob } from '../core/store-view.ts'
import { imageBlobs, type Scan } from './scan.ts'

/** Beyond so many steps a snapshot says the same in one. */
const maxSteps = 256

/** The changes that lead from what was told to what a scan found; none where nothing differs. */
export async function differenceOf(
  view: StoreView,
  images: readonly StoreImage[],
  scan: Scan,
): Promise<readonly StoreChange[]> {
  const blobs = [...scan.blobs.values()]
  const differences = view.differences(images, blobs)
  if (differences === 0) return []
  if (differences > maxSteps) return [{ type: 'snapshot', images, blobs }]
  const changes: StoreChange[] = []
  const covered = new Set<string>()
  for (const image of images) {
    if (view.images.get(imageKey(image.namespace, image.name))?.target === image.target) continue
    const reachable = await imageBlobs(scan, image.target)
    for (const blob of reachable) covered.add(blob.digest)
    changes.push({ type: 'image-put', image, blobs: reachable })
  }
  for (const blob of blobs) {
    const told = view.blobs.get(blob.digest)
    if (!covered.has(blob.digest) && (told === undefined || !sameBlob(told, blob)))
      changes.push({ type: 'blob-put', blob })
  }
  const names = new Set(images.map((image) => imageKey(image.namespace, image.name)))
  for (const [key, { namespace, name }] of view.images) {
    if (!names.has(key)) changes.push({ type: 'image-deleted', namespace, name })
  }
  for (const digest of view.blobs.keys()) {
    if (!scan.blobs.has(digest)) changes.push({ type: 'blob-deleted', digest })
  }
  return changes
}
