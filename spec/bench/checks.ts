import { createHash } from 'node:crypto'
import { crc32 } from 'node:zlib'
import { type ChunkMap, pieceSizeBytes } from '../../lib/core/chunk-map.ts'
import type { Digest } from '../../lib/core/digest.ts'
import { BodyCheck } from '../../lib/registry/body-check.ts'
import { BufferPool } from '../../lib/registry/buffer-pool.ts'
import { blockSizeBytes, LocalMapMaker } from '../../lib/registry/chunk-maps/local-map.ts'
import { PieceCheck } from '../../lib/registry/chunk-maps/piece-check.ts'
import type { Benchmark } from './benchmark.ts'

const rounds = 5
const chunkSizeBytes = 64 * 2 ** 10
const none = new Uint8Array()

/** What checking the bytes of blobs costs, apart from moving them. */
export const checks: Benchmark = {
  name: 'checks',
  title: 'Checks of the bytes of a blob',
  async run(log, { quick }) {
    const sizeBytes = (quick ? 8 : 64) * 2 ** 20
    const blob = createHash('shake256', { outputLength: sizeBytes }).update('checks').digest()
    const digest = `sha256:${createHash('sha256').update(blob).digest('hex')}` as Digest
    const chunks = (size: number, take: (chunk: Uint8Array) => void): void => {
      for (let at = 0; at < sizeBytes; at += size) take(blob.subarray(at, at + size))
    }
    const makeMap = (): ChunkMap => {
      const maker = new LocalMapMaker(digest, '')
      chunks(chunkSizeBytes, (chunk) => maker.update(chunk))
      const made = maker.finish()
      if (made === undefined) throw new Error('the map was not made')
      return made.map
    }
    const map = makeMap()
    const body = { sizeBytes, start: 0, end: sizeBytes - 1 }
    /** Most of the blob, from the second piece on: checked piece by piece. */
    const part = { sizeBytes, start: 2 ** 20, end: sizeBytes - 1 }
    const memory = new BufferPool(pieceSizeBytes, 1)
    const pieces = (checked: typeof body): void => {
      const check = new PieceCheck(checked, map, { before: none, after: none }, memory)
      const pass = (chunk: Uint8Array): void => {
        if ('wrongFrom' in check.pass(chunk)) throw new Error('right bytes were found wrong')
      }
      for (let at = checked.start; at < sizeBytes; at += chunkSizeBytes) {
        pass(blob.subarray(at, at + chunkSizeBytes))
      }
      check.end()
    }
    const cases: [string, () => void][] = [
      ['one pass of SHA-256', () => void hashOnce(chunks)],
      ['holder: CRC-32 of each block', () => chunks(blockSizeBytes, (block) => void crc32(block))],
      ['holder: making a map, once for each blob', () => void makeMap()],
      [
        'requester: by the digest',
        () => {
          const check = new BodyCheck(digest, body)
          chunks(chunkSizeBytes, (chunk) => void check.pass(chunk))
          if (check.finish() === undefined) throw new Error('right bytes were found wrong')
        },
      ],
      ['requester: a whole body by a map', () => pieces(body)],
      ['requester: a part by a map', () => pieces(part)],
    ]
    const figures = cases.map(([name, action]) => {
      const seconds = medianCpuSeconds(action) / (sizeBytes / 1e9)
      log(`${name}: ${seconds.toFixed(2)} CPU-s/GB`)
      return [name, seconds] as const
    })
    const pass = figures[0]?.[1] ?? 1
    return {
      columns: ['what', 'CPU-s/GB', '÷ one pass of SHA-256'],
      rows: figures.map(([name, seconds]) => [
        name,
        Number(seconds.toFixed(2)),
        Number((seconds / pass).toFixed(2)),
      ]),
      notes: [
        `Median of ${rounds} rounds over ${sizeBytes / 2 ** 20} MiB after one to warm up; user and system time of the process, one thread.`,
      ],
    }
  },
}

function hashOnce(chunks: (size: number, take: (chunk: Uint8Array) => void) => void): string {
  const hash = createHash('sha256')
  chunks(chunkSizeBytes, (chunk) => hash.update(chunk))
  return hash.digest('hex')
}

function medianCpuSeconds(action: () => void): number {
  const figures: number[] = []
  for (let round = 0; round <= rounds; round += 1) {
    const before = process.cpuUsage()
    action()
    const { user, system } = process.cpuUsage(before)
    if (round > 0) figures.push((user + system) / 1e6)
  }
  return figures.sort((a, b) => a - b)[Math.floor(rounds / 2)] as number
}
