import { createHash, type Hash } from 'node:crypto'
import { type Digest, digestFromBytes, digestSizeBytes, digestToBytes } from './digest.ts'
import { StarlingError } from './errors.ts'
import { FieldWriter, readVersioned } from './wire.ts'

/** Blobs are hashed in pieces of this size; the last one may be shorter. */
export const pieceSizeBytes = 2 ** 20
/** A map has at most so many pieces: blobs above 64 GiB have none. */
const maxPieces = 65_536

/**
 * What the pieces of a blob must be. Both lists hold 32 bytes a piece: SHA-256 of the piece alone, by which a range can be
 * checked, and SHA-256 of the blob up to the end of the piece, which one pass over the whole body gives by the way. Nodes vote
 * on maps, so both must withstand collisions. The last prefix is the digest itself.
 */
export interface ChunkMap {
  readonly digest: Digest
  readonly sizeBytes: number
  readonly pieces: Uint8Array
  readonly prefixes: Uint8Array
}

export function pieceCount(sizeBytes: number): number {
  return Math.ceil(sizeBytes / pieceSizeBytes)
}

/** A blob of one piece has its digest for a map, and one that is larger than 64 GiB has none. */
export function isMappable(sizeBytes: number): boolean {
  return sizeBytes > pieceSizeBytes && pieceCount(sizeBytes) <= maxPieces
}

/** Size of the largest encoded map of a blob of this size, with room for fields of later versions. */
export function maxChunkMapSizeBytes(sizeBytes: number): number {
  return 2 * digestSizeBytes * Math.min(maxPieces, pieceCount(sizeBytes)) + 1024
}

export function hashOfPiece(map: ChunkMap, index: number): Uint8Array {
  return map.pieces.subarray(index * digestSizeBytes, (index + 1) * digestSizeBytes)
}

export function hashOfPrefix(map: ChunkMap, index: number): Uint8Array {
  return map.prefixes.subarray(index * digestSizeBytes, (index + 1) * digestSizeBytes)
}

export function encodeChunkMap(map: ChunkMap): Uint8Array {
  return new FieldWriter()
    .bytes(1, digestToBytes(map.digest))
    .uint(2, map.sizeBytes)
    .bytes(3, map.pieces)
    .bytes(4, map.prefixes)
    .finishVersioned()
}

/** @throws StarlingError WIRE_MALFORMED where it is no map of this digest */
export function decodeChunkMap(bytes: Uint8Array, digest: Digest): ChunkMap {
  let named: Uint8Array | undefined
  let sizeBytes = 0
  let pieces = new Uint8Array()
  let prefixes = new Uint8Array()
  readVersioned(bytes, (field) => {
    if (field.number === 1) named = field.fixedBytes(digestSizeBytes)
    else if (field.number === 2) sizeBytes = field.uint()
    else if (field.number === 3) pieces = new Uint8Array(field.bytes())
    else if (field.number === 4) prefixes = new Uint8Array(field.bytes())
  })
  const length = pieceCount(sizeBytes) * digestSizeBytes
  const fits = isMappable(sizeBytes) && pieces.length === length && prefixes.length === length
  if (named === undefined || !fits) throw new StarlingError('WIRE_MALFORMED', 'the chunk map has no sense')
  const last = prefixes.subarray(length - digestSizeBytes)
  if (digestFromBytes(named) !== digest || digestFromBytes(last) !== digest) {
    throw new StarlingError('WIRE_MALFORMED', `the chunk map is not one of ${digest}`)
  }
  return { digest, sizeBytes, pieces, prefixes }
}

/** Two maps are the same exactly where their keys are. */
export function chunkMapKey(map: ChunkMap): string {
  return createHash('sha256').update(encodeChunkMap(map)).digest('hex')
}

/** Makes the map of a blob from its bytes in order. */
export class ChunkMapMaker {
  readonly #digest: Digest
  readonly #whole = createHash('sha256')
  readonly #pieces: Uint8Array[] = []
  readonly #prefixes: Uint8Array[] = []
  #piece: Hash | undefined
  #sizeBytes = 0

  constructor(digest: Digest) {
    this.#digest = digest
  }

  update(chunk: Uint8Array): void {
    for (let offset = 0; offset < chunk.length; ) {
      const left = pieceSizeBytes - (this.#sizeBytes % pieceSizeBytes)
      const part = chunk.subarray(offset, offset + left)
      this.#piece ??= createHash('sha256')
      this.#piece.update(part)
      this.#whole.update(part)
      offset += part.length
      this.#sizeBytes += part.length
      if (part.length === left) this.#endPiece()
    }
  }

  /** To be called once, after the last byte. Undefined where the bytes are not those of the digest. */
  finish(): ChunkMap | undefined {
    if (this.#piece !== undefined) this.#endPiece()
    if (digestFromBytes(this.#whole.digest()) !== this.#digest) return undefined
    return {
      digest: this.#digest,
      sizeBytes: this.#sizeBytes,
      pieces: new Uint8Array(Buffer.concat(this.#pieces)),
      prefixes: new Uint8Array(Buffer.concat(this.#prefixes)),
    }
  }

  #endPiece(): void {
    if (this.#piece !== undefined) this.#pieces.push(this.#piece.digest())
    this.#prefixes.push(this.#whole.copy().digest())
    this.#piece = undefined
  }
}
