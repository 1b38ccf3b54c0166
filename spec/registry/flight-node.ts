import type { BlobReader, GrowingState } from '../../lib/core/content-store.ts'
import type { Digest } from '../../lib/core/digest.ts'
import type { Candidate, FlightNote, RegistryControl } from '../../lib/core/lookup.ts'
import { MemoryBlobs, registry, SpecControl } from './harness.ts'

/** A download whose progress the spec decides. */
export interface Download {
  readonly bytes: Uint8Array
  reachedBytes: number
  state: GrowingState
}

/** Blobs in memory, and downloads in progress. */
export class GrowingBlobs extends MemoryBlobs {
  readonly downloads = new Map<Digest, Download>()

  begin(digest: Digest, bytes: Uint8Array, reachedBytes: number): Download {
    const download: Download = { bytes, reachedBytes, state: 'open' }
    this.downloads.set(digest, download)
    return download
  }

  override reader(): BlobReader {
    return {
      ...super.reader(),
      openGrowing: async (digest) => {
        const download = this.downloads.get(digest)
        if (download === undefined) return undefined
        return {
          look: async () => ({
            state: download.state,
            reachedBytes: download.reachedBytes,
            sizeBytes: download.bytes.length,
          }),
          read: async (target, offset) => {
            const part = download.bytes.subarray(
              offset,
              Math.min(offset + target.length, download.reachedBytes),
            )
            target.set(part)
            return part.length
          },
          close: async () => {},
        }
      },
    }
  }
}

/** A control plane that gives peers what is downloaded, and clients the first of `parents` that is not lost. */
export class FlightControl extends SpecControl {
  readonly growing: GrowingBlobs
  parents: readonly Candidate[] = []
  readonly notes: FlightNote[] = []
  readonly lostParents = new Set<string>()

  constructor(growing = new GrowingBlobs()) {
    super(growing)
    this.growing = growing
  }

  override async lookup(
    query: Parameters<RegistryControl['lookup']>[0],
  ): ReturnType<RegistryControl['lookup']> {
    const { target, fromPeer, claim } = query
    const answer = await super.lookup(query)
    if (answer.found || target.kind !== 'digest') return answer
    const { digest } = target
    const found = { found: true, registry, digest, local: false, holders: 0 } as const
    if (fromPeer) {
      return this.growing.downloads.has(digest) ? { ...found, candidates: [], flight: 'serve' } : answer
    }
    const parent = this.parents.find(({ peer }) => claim?.lost.includes(peer.peerId) === false)
    return parent === undefined ? answer : { ...found, candidates: [parent], flight: 'follow' }
  }

  async flight(note: FlightNote): Promise<'alive' | 'lost'> {
    this.notes.push(note)
    return this.lostParents.has(note.parent) ? 'lost' : 'alive'
  }
}
