import type { Checkpoint } from './checkpoint.ts'
import { maxInventoryElements, type TagPair } from './elements.ts'
import type { InventoryContent } from './install.ts'
import { decodeAnswer } from './sync-answer.ts'

/** An inventory as it came out of the frames of an answer; nothing of it is proven. */
export interface SentInventory {
  readonly shortId: string
  readonly checkpoint: Checkpoint
  readonly content: InventoryContent
}

/**
 * Puts the frames of an answer to a fetch together. An inventory whose last part is missing, or that is larger than
 * any may be, is left out.
 * @throws StarlingError WIRE_MALFORMED
 */
export function readInventories(frames: readonly Uint8Array[]): SentInventory[] {
  const inventories: SentInventory[] = []
  let head: (Omit<SentInventory, 'content'> & { buckets: readonly number[] | undefined }) | undefined
  let digests: Uint8Array[] = []
  let tags: TagPair[] = []
  let elements = 0
  for (const frame of frames) {
    const answer = decodeAnswer(frame)
    if (answer?.kind === 'inventory') {
      head = answer
      digests = []
      tags = []
      elements = 0
    } else if (answer?.kind === 'elements' && head !== undefined) {
      elements += answer.digests.length / 32 + answer.tags.length
      if (elements > maxInventoryElements) {
        head = undefined
        continue
      }
      digests.push(answer.digests)
      for (const pair of answer.tags) tags.push(pair)
      if (!answer.last) continue
      const { shortId, checkpoint, buckets } = head
      inventories.push({ shortId, checkpoint, content: { digests: Buffer.concat(digests), tags, buckets } })
      head = undefined
    }
  }
  return inventories
}
