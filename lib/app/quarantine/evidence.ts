import type { WrongBytes } from '../../core/lookup.ts'

const sentences: Readonly<Record<WrongBytes['evidence'], string>> = {
  digest: 'a whole body that came from it alone has another digest',
  copy: 'its copy, fetched and hashed whole, has another digest',
  map: 'the chunk map that it gave is not that of the right bytes',
  piece: 'a piece that it gave is not that of the right bytes',
}

export const evidences = Object.keys(sentences) as readonly WrongBytes['evidence'][]

/** What shows that a peer sent wrong bytes, as half a sentence. */
export function describeEvidence(evidence: WrongBytes['evidence']): string {
  return sentences[evidence]
}
