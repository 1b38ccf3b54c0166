import { randomUUID } from 'node:crypto'
import { open, readFile, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { mapsPathOf } from '../../../lib/app/integrity/service.ts'
import { type Digest, digestHex, digestToBytes } from '../../../lib/core/digest.ts'
import { LocalMapMaker } from '../../../lib/registry/chunk-maps/local-map.ts'
import { MapFolder } from '../../../lib/registry/chunk-maps/map-folder.ts'
import { digestOf } from '../../registry/harness.ts'
import type { ClusterNode } from '../../support/cluster/node-process.ts'
import { eventually } from '../../support/eventually.ts'
import { runOrFail } from '../../support/processes.ts'

/** Flips one bit of a file, as a failing disk does: its times do not change, not by a nanosecond. */
export async function flipBit(path: string, at: number): Promise<void> {
  const times = join(tmpdir(), `times-${randomUUID()}`)
  await runOrFail('touch', ['-r', path, times])
  const file = await open(path, 'r+')
  const byte = Buffer.alloc(1)
  await file.read(byte, 0, 1, at)
  byte[0] = (byte[0] ?? 0) ^ 1
  await file.write(byte, 0, 1, at)
  await file.close()
  await runOrFail('touch', ['-r', times, path])
  await rm(times)
}

/**
 * Makes a node lie about one byte of a blob at `path`: its file is changed, and its chunk map is one that matches the change, so that the
 * node finds nothing wrong as it serves. Every process and every line of code in it is that of production.
 */
export async function makeLiar(node: ClusterNode, digest: Digest, path: string, at: number): Promise<void> {
  await flipBit(path, at)
  const bytes = await readFile(path)
  const { mtimeNs } = await stat(path, { bigint: true })
  const maker = new LocalMapMaker(digestOf(bytes), String(mtimeNs))
  maker.update(bytes)
  const made = maker.finish()
  if (made === undefined) throw new Error('no map could be made')
  const { prefixes } = made.map
  // A map whose last prefix is another digest is refused at once.
  prefixes.set(digestToBytes(digest), prefixes.length - digestToBytes(digest).length)
  await new MapFolder(mapsPathOf(join(node.dir, 'data'))).save({ ...made, map: { ...made.map, digest } })
}

/** Undoes `makeLiar`; the node makes its map anew. */
export async function mendLiar(node: ClusterNode, digest: Digest, path: string, at: number): Promise<void> {
  await flipBit(path, at)
  await rm(join(mapsPathOf(join(node.dir, 'data')), digestHex(digest)), { force: true })
}

/** Waits until a node has hashed so many bytes more than at `before`. */
export async function waitHashed(node: ClusterNode, before: number, sizeBytes: number): Promise<void> {
  const done = async () => (await hashedBytes(node)) - before >= sizeBytes
  await eventually(done, { what: `the chunk map of ${node.name}`, timeoutMs: 30_000, intervalMs: 50 })
}

export async function hashedBytes(node: ClusterNode): Promise<number> {
  return (await node.metric('starling_integrity_hashed_bytes_total')) ?? 0
}
