import { createHash } from 'node:crypto'
import { crc32 } from 'node:zlib'
import { type ChunkMap, ChunkMapMaker, decodeChunkMap, encodeChunkMap } from '../../core/chunk-map.ts'
import type { Digest } from '../../core/digest.ts'
import { StarlingError } from '../../core/errors.ts'
import { FieldWriter, readVersioned } from '../../core/wire.ts'

/** A holder checks its own bytes in blocks of this size: that of a read. */
export const blockSizeBytes = 256 * 2 ** 10

/**
 * What a node knows of a blob of its own: the map for others, and CRC-32 of each block for itself. A disk that fails doesn't
 * choose its errors: CRC-32 finds any burst of up to 32 bits, and misses another error once in 2^32 times, which then fails
 * by its digest at the requester. It costs less than half of SHA-256 (measured).
 */
export interface LocalMap {
  readonly map: ChunkMap
  readonly blocks: Uint32Array
  /** `BlobHandle.stamp` of the file when it was hashed. */
  readonly stamp: string
}

export function blockIsRight(local: LocalMap, index: number, block: Uint8Array): boolean {
  return crc32(block) === local.blocks[index]
}

/** Makes a local map from the bytes of a blob in order. */
export class LocalMapMaker {
  readonly #map: ChunkMapMaker
  readonly #blocks: number[] = []
  readonly #stamp: string
  #crc = 0
  #fill = 0

  constructor(digest: Digest, stamp: string) {
    this.#map = new ChunkMapMaker(digest)
    this.#stamp = stamp
  }

  update(chunk: Uint8Array): void {
    this.#map.update(chunk)
    for (let offset = 0; offset < chunk.length; ) {
      const part = chunk.subarray(offset, offset + blockSizeBytes - this.#fill)
      this.#crc = crc32(part, this.#crc)
      this.#fill += part.length
      offset += part.length
      if (this.#fill === blockSizeBytes) this.#endBlock()
    }
  }

  /** Undefined where the bytes are not those of the digest. */
  finish(): LocalMap | undefined {
    if (this.#fill > 0) this.#endBlock()
    const map = this.#map.finish()
    return map && { map, blocks: Uint32Array.from(this.#blocks), stamp: this.#stamp }
  }

  #endBlock(): void {
    this.#blocks.push(this.#crc)
    this.#crc = 0
    this.#fill = 0
  }
}

const checksumSizeBytes = 32

/** The form on disk: SHA-256 of the rest, then the rest. */
export function encodeLocalMap(local: LocalMap): Uint8Array {
  const blocks = Buffer.alloc(local.blocks.length * 4)
  for (const [index, sum] of local.blocks.entries()) blocks.writeUInt32LE(sum, index * 4)
  const body = new FieldWriter()
    .bytes(1, encodeChunkMap(local.map))
    .string(2, local.stamp)
    .bytes(3, blocks)
    .finishVersioned()
  return Buffer.concat([createHash('sha256').update(body).digest(), body])
}

/** @throws StarlingError WIRE_MALFORMED */
export function decodeLocalMap(bytes: Uint8Array, digest: Digest): LocalMap {
  const body = bytes.subarray(checksumSizeBytes)
  const sum = createHash('sha256').update(body).digest()
  if (!sum.equals(bytes.subarray(0, checksumSizeBytes))) {
    throw new StarlingError('WIRE_MALFORMED', 'the checksum of the map is wrong')
  }
  let map: ChunkMap | undefined
  let stamp = ''
  let sums = Buffer.alloc(0)
  readVersioned(body, (field) => {
    if (field.number === 1) map = decodeChunkMap(field.bytes(), digest)
    else if (field.number === 2) stamp = field.string(64)
    else if (field.number === 3) sums = Buffer.from(field.bytes())
  })
  if (map === undefined || sums.length !== 4 * Math.ceil(map.sizeBytes / blockSizeBytes)) {
    throw new StarlingError('WIRE_MALFORMED', 'the map has no sense')
  }
  const blocks = Uint32Array.from({ length: sums.length / 4 }, (_, index) => sums.readUInt32LE(index * 4))
  return { map, blocks, stamp }
}
