import { createHash, type Hash } from 'node:crypto'
import { type ChunkMap, hashOfPiece, hashOfPrefix, pieceSizeBytes } from '../../core/chunk-map.ts'
import type { BufferPool } from '../buffer-pool.ts'
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

/** What is let out is cut into parts that a client's way copies at once, so that the piece can be filled again. */
const partSizeBytes = 32 * 2 ** 10

/**
 * Holds back each piece of a body until it is what the map says. For a whole body one running hash does
 * (`ChunkMap.prefixes`), and its last step is the digest itself. A piece is gathered in memory of its own: chunks that are kept
 * until it is complete grow old, and what is old V8 frees only by marking its whole heap.
 */
export class PieceCheck implements TransferCheck {
  readonly checks = true
  readonly #body: CheckedBody
  readonly #map: ChunkMap
  readonly #edges: PieceEdges
  readonly #memory: BufferPool
  readonly #whole: boolean
  /** The running hash as it was at the last boundary. */
  #before: Hash = createHash('sha256')
  /** The same where the chunk at hand began: everything before it has left. */
  #letOut: Hash = this.#before
  #hash: Hash = createHash('sha256')
  #offset: number
  #piece: Uint8Array | undefined
  #fill = 0
  /** The memory of the piece was let out, and is its reader's until the next chunk comes. */
  #lent = false
  /** What came of the next pieces meanwhile. */
  #held: Uint8Array[] = []

  /** @param memory buffers of the size of a piece */
  constructor(body: CheckedBody, map: ChunkMap, edges: PieceEdges, memory: BufferPool) {
    this.#memory = memory
    this.#body = body
    this.#map = map
    this.#edges = edges
    this.#whole = body.start === 0 && body.end === body.sizeBytes - 1
    this.#offset = body.start
    this.#hash.update(edges.before)
  }

  pass(chunk: Uint8Array): CheckOutcome {
    this.#takeBack()
    let free: Uint8Array[] = []
    const boundary = this.#offset - (this.#offset % pieceSizeBytes)
    this.#letOut = this.#before
    for (let index = 0; index < chunk.length; ) {
      const start = this.#offset - (this.#offset % pieceSizeBytes)
      const end = Math.min(start + pieceSizeBytes, this.#body.end + 1)
      const part = chunk.subarray(index, index + end - this.#offset)
      if (part.length === 0) break
      this.#hash.update(part)
      this.#gather(part)
      index += part.length
      this.#offset += part.length
      if (this.#offset < end) break
      if (this.#offset === this.#body.end + 1) this.#hash.update(this.#edges.after)
      if (!this.#isRight(start / pieceSizeBytes)) {
        return this.#wrong(start / pieceSizeBytes, boundary, this.#givenPiece(start))
      }
      const parts = this.#parts()
      free = free.length === 0 ? parts : free.concat(parts)
      this.#lent = true
      this.#held = []
    }
    return { free }
  }

  #takeBack(): void {
    if (!this.#lent) return
    this.#lent = false
    this.#fill = 0
    for (const part of this.#held.splice(0)) this.#gather(part)
  }

  #gather(part: Uint8Array): void {
    if (this.#lent) {
      this.#held.push(part)
      return
    }
    this.#piece ??= this.#memory.take()
    this.#piece.set(part, this.#fill)
    this.#fill += part.length
  }

  /** Gives the memory back: what was let out has been read, and nothing more comes. */
  end(): void {
    if (this.#piece !== undefined) this.#memory.give(this.#piece)
    this.#piece = undefined
    this.#fill = 0
    this.#lent = false
    this.#held = []
  }

  /** What came of the piece at hand. */
  #parts(): Uint8Array[] {
    if (this.#lent || this.#piece === undefined) return this.#held
    const parts: Uint8Array[] = []
    for (let at = 0; at < this.#fill; at += partSizeBytes) {
      parts.push(this.#piece.subarray(at, Math.min(at + partSizeBytes, this.#fill)))
    }
    return parts
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
    this.#lent = false
    this.#fill = 0
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
    for (const part of this.#parts()) hash.update(part)
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
