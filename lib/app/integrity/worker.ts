import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { parentPort, workerData } from 'node:worker_threads'
import { blobPath as containerdPath } from '../../containerd/content-folder.ts'
import { isMappable, pieceSizeBytes } from '../../core/chunk-map.ts'
import type { BlobSource } from '../../core/content-store.ts'
import type { Digest } from '../../core/digest.ts'
import { describeError, systemErrorCode } from '../../core/errors.ts'
import { blobPath as layoutPath } from '../../oci-layout/layout.ts'
import { LocalMapMaker } from '../../registry/chunk-maps/local-map.ts'
import { MapFolder } from '../../registry/chunk-maps/map-folder.ts'
import type { HashJob, HashResult, ToHasher } from './messages.ts'

/**
 * The entry of the thread that hashes blobs. It reads synchronously: libuv's thread pool, which the whole process shares, is not
 * touched, and a disk that hangs stops this thread alone.
 */

const folder = new MapFolder((workerData as { mapsPath: string }).mapsPath)
const buffer = Buffer.allocUnsafeSlow(pieceSizeBytes)
const openFlags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK
let rate = Number.POSITIVE_INFINITY

interface OpenBlob {
  readonly sizeBytes: number
  readonly stamp: string
  read(target: Uint8Array, offset: number): number | Promise<number>
  close(): void | Promise<void>
}

function openFile(path: string): OpenBlob | undefined {
  const file = openSync(path, openFlags)
  const stats = fstatSync(file, { bigint: true })
  if (!stats.isFile()) {
    closeSync(file)
    return undefined
  }
  return {
    sizeBytes: Number(stats.size),
    stamp: String(stats.mtimeNs),
    read: (target, offset) => readSync(file, target, 0, target.length, offset),
    close: () => closeSync(file),
  }
}

async function openBlob(source: BlobSource, digest: Digest): Promise<OpenBlob | undefined> {
  const path =
    source.kind === 'oci-layout'
      ? layoutPath(source.path, digest)
      : source.contentPath && containerdPath(source.contentPath, digest)
  try {
    if (path !== undefined) return openFile(path)
  } catch (error) {
    if (systemErrorCode(error) !== 'EACCES' || source.kind === 'oci-layout') throw error
  }
  if (source.kind !== 'containerd') return undefined
  const { createContainerdReader } = await import('../../containerd/blob-reader.ts')
  const reader = createContainerdReader(source)
  const handle = await reader.open(digest)
  if (handle === undefined) await reader.close()
  return (
    handle && {
      sizeBytes: handle.sizeBytes,
      stamp: handle.stamp ?? '',
      read: (target, offset) => handle.read(target, offset),
      close: () => reader.close(),
    }
  )
}

async function hash(job: HashJob): Promise<Omit<HashResult, 'id'>> {
  const { digest } = job
  const blob = await openBlob(job.source, digest)
  if (blob === undefined) return { outcome: 'gone', bytes: 0, problem: undefined }
  try {
    if (job.trustMap && isMappable(blob.sizeBytes)) {
      const known = await folder.load(digest)
      const fits = known?.map.sizeBytes === blob.sizeBytes && known.stamp === blob.stamp
      if (fits) return { outcome: 'known', bytes: 0, problem: undefined }
    }
    const maker = new LocalMapMaker(digest, blob.stamp)
    let offset = 0
    let owedMs = 0
    for (;;) {
      const count = await blob.read(buffer, offset)
      if (count === 0) break
      maker.update(buffer.subarray(0, count))
      offset += count
      owedMs += (count / rate) * 1000
      if (owedMs < 20) continue
      await sleep(owedMs)
      owedMs = 0
    }
    const made = maker.finish()
    if (made === undefined) return { outcome: 'damaged', bytes: offset, problem: undefined }
    if (isMappable(offset)) await folder.save(made)
    return { outcome: 'right', bytes: offset, problem: undefined }
  } finally {
    await blob.close()
  }
}

async function run(job: HashJob): Promise<void> {
  rate = job.rate
  let result: Omit<HashResult, 'id'>
  try {
    result = await hash(job)
  } catch (error) {
    const gone = ['ENOENT', 'ENOTDIR', 'ELOOP'].includes(systemErrorCode(error) ?? '')
    result = { outcome: gone ? 'gone' : 'unreadable', bytes: 0, problem: describeError(error) }
  }
  parentPort?.postMessage({ id: job.id, ...result } satisfies HashResult)
}

parentPort?.on('message', (message: ToHasher) => {
  if (message.type === 'hurry') rate = Number.POSITIVE_INFINITY
  else void run(message.job)
})
