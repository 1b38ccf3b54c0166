import { createHash, type Hash } from 'node:crypto'
import { type ChunkMap, hashOfPiece, hashOfPrefix, pieceSizeBytes } from '../../core/chunk-map.ts'
import type { CheckedBody, CheckOutcome, GivenPiece, TransferCheck } from '../transfer-check.ts'

/** The rest of the two pieces of which a transfer wants only a part. */
export interface PieceEdges {
  /** From the start of the first piece to the first byte of the body. */
  readonly before: Uint8Array
  /** From the byte after the body to the end of its last piece. */
  readonly after: Uint8Array
}

/** The bytes around a body that are needed to check its first and its last piece; `end` is excluded. */
export function edgesOf(body: CheckedBody): Record<'before' | 'after', { start: number; end: number }> {
  const first = body.start - (body.start % pieceSizeBytes)
  const last = Math.min(body.sizeBytes, (Math.floor(body.end / pieceSizeBytes) + 1) * pieceSizeBytes)
  return { before: { start: first, end: body.start }, after: { start: body.end + 1, end: last } }
}

/** A peer may send a byte at a time: more parts than this are joined. */
const maxParts = 1024

/**
 * Holds back each piece of a body until it is what the map says. For a whole body one running hash does
 * (`ChunkMap.prefixes`), and its last step is the digest itself.
 */
export class PieceCheck implements TransferCheck {
  readonly checks = true
  readonly #body: CheckedBody
  readonly #map: ChunkMap
  readonly #edges: PieceEdges
  readonly #whole: boolean
  /** The running hash as it was at the last boundary. */
  #before: Hash = createHash('sha256')
  /** The same where the chunk at hand began: everything before it has left. */
  #letOut: Hash = this.#before
  #hash: Hash = createHash('sha256')
  #offset: number
  #held: Uint8Array[] = []

  constructor(body: CheckedBody, map: ChunkMap, edges: PieceEdges) {
    this.#body = body
    this.#map = map
    this.#edges = edges
    this.#whole = body.start === 0 && body.end === body.sizeBytes - 1
    this.#offset = body.start
    this.#hash.update(edges.before)
  }

  pass(chunk: Uint8Array): CheckOutcome {
    let free: Uint8Array[] = []
    const boundary = this.#offset - (this.#offset % pieceSizeBytes)
    this.#letOut = this.#before
    for (let index = 0; index < chunk.length; ) {
      const start = this.#offset - (this.#offset % pieceSizeBytes)
      const end = Math.min(start + pieceSizeBytes, this.#body.end + 1)
      const part = chunk.subarray(index, index + end - this.#offset)
      if (part.length === 0) break
      this.#hash.update(part)
      this.#held.push(part)
      if (this.#held.length > maxParts) this.#held = [Buffer.concat(this.#held)]
      index += part.length
      this.#offset += part.length
      if (this.#offset < end) break
      if (this.#offset === this.#body.end + 1) this.#hash.update(this.#edges.after)
      if (!this.#isRight(start / pieceSizeBytes)) {
        return this.#wrong(start / pieceSizeBytes, boundary, this.#givenPiece(start))
      }
      free = free.length === 0 ? this.#held : free.concat(this.#held)
      this.#held = []
    }
    return { free }
  }

  /** What is held after the last byte is a piece that did not come to its end. */
  finish(): CheckOutcome {
    if (this.#offset > this.#body.end) return { free: [] }
    const boundary = this.#offset - (this.#offset % pieceSizeBytes)
    this.#letOut = this.#before
    return this.#wrong(boundary / pieceSizeBytes, boundary)
  }

  /** Goes back to the boundary where a chunk found the check: pieces that came right in the same chunk have not left yet. */
  #wrong(index: number, boundary: number, piece?: GivenPiece): CheckOutcome {
    const wrongFrom = Math.max(this.#body.start, boundary)
    this.#held = []
    this.#offset = wrongFrom
    this.#before = this.#letOut
    this.#hash = this.#whole ? this.#before.copy() : createHash('sha256')
    if (wrongFrom === this.#body.start) this.#hash.update(this.#edges.before)
    const reason = `piece ${index} is not what the holders agree on`
    return { wrongFrom, reason, proven: false, piece }
  }

  /** The piece at hand as it came; undefined where a part of it is known from elsewhere. */
  #givenPiece(start: number): GivenPiece | undefined {
    const { before, after } = this.#edges
    const first = start < this.#body.start && before.length > 0
    const last = this.#offset > this.#body.end && after.length > 0
    if (first || last) return undefined
    const hash = createHash('sha256')
    for (const part of this.#held) hash.update(part)
    return { index: start / pieceSizeBytes, sha256: hash.digest() }
  }

  #isRight(index: number): boolean {
    const expected = this.#whole ? hashOfPrefix(this.#map, index) : hashOfPiece(this.#map, index)
    const found = this.#whole ? this.#hash.copy().digest() : this.#hash.digest()
    if (!found.equals(expected)) return false
    if (this.#whole) this.#before = this.#hash.copy()
    else this.#hash = createHash('sha256')
    return true
  }
}
