import type { Digest } from '../../core/digest.ts'

/** The digest with most holders; of several the first in the order of their text, so that every node chooses the same. */
export function majorityDigest(
  sides: readonly { readonly digest: Digest; readonly holders: number }[],
): Digest | undefined {
  return sides.toSorted((a, b) => b.holders - a.holders || (a.digest < b.digest ? -1 : 1))[0]?.digest
}
