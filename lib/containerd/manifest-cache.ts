import { LRUCache } from 'lru-cache'
import type { Digest } from '../core/digest.ts'
import type { ParsedManifest } from '../core/manifest.ts'

/** Manifests never change, so what was parsed once is kept over reconnects; bounded by the digests that they name. */
export class ManifestCache {
  readonly #parsed = new LRUCache<Digest, ParsedManifest | 'other'>({
    maxSize: 500_000,
    sizeCalculation: (parsed) => (parsed === 'other' ? 1 : 4 + parsed.children.length),
  })

  get(digest: Digest): ParsedManifest | 'other' | undefined {
    return this.#parsed.get(digest)
  }

  set(digest: Digest, parsed: ParsedManifest | 'other'): void {
    this.#parsed.set(digest, parsed)
  }
}
