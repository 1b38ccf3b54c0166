import assert from 'node:assert/strict'
import { rename, rm, truncate, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { type FileOutcome, importUnlessKnown } from '../../../lib/app/import/import-known.ts'
import type { ImportProgress } from '../../../lib/archive/import-archive.ts'
import { digestHex } from '../../../lib/core/digest.ts'
import { writeOciArchive } from '../../support/oci-files.ts'
import { buildImage } from '../../support/oci-image.ts'
import { tempFolder } from '../../support/temp-folder.ts'

const name = 'r.test/team/app:1'

/** A folder with an archive, and what importing it does, given what came before. */
async function withArchive(
  body: (place: {
    readonly dir: string
    readonly path: string
    readonly digest: string
    readonly progress: readonly ImportProgress[]
    run(before?: FileOutcome, path?: string): Promise<FileOutcome>
  }) => Promise<void>,
): Promise<void> {
  await using folder = await tempFolder('if')
  const dir = folder.path
  const path = join(dir, 'a.tar')
  const image = await buildImage({ seed: 'if', layers: [{ sizeBytes: 5000 }] })
  await writeOciArchive(path, [{ name, image }])
  const store = { type: 'oci-layout', path: join(dir, 'oci') } as const
  const progress: ImportProgress[] = []
  await body({
    dir,
    path,
    digest: image.root.digest,
    progress,
    run(before, file = path) {
      const known =
        before?.type === 'imported'
          ? [{ sha256: before.sha256, images: before.images }]
          : before?.type === 'refused' && before.sha256 !== undefined
            ? [{ sha256: before.sha256, images: [] }]
            : []
      const job = { path: file, store, platform: 'all', known, done: [], mirror: undefined } as const
      return importUnlessKnown(job, (seen) => progress.push(seen))
    },
  })
}

describe('a file of the images folder', () => {
  it('is imported, and its images are counted on the way', () =>
    withArchive(async ({ run, progress, digest }) => {
      const outcome = await run()
      assert.ok(outcome.type === 'imported')
      assert.deepEqual(outcome.images, [{ name, digest }])
      const last = progress.at(-1)
      assert.deepEqual([last?.images, last?.readBytes], [1, last?.totalBytes])
    }))

  it('that was touched or renamed is known by its bytes and not imported again', () =>
    withArchive(async ({ run, path, dir }) => {
      const first = await run()
      await utimes(path, new Date(), new Date(Date.now() + 5000))
      assert.equal((await run(first)).type, 'unchanged')
      await rename(path, join(dir, 'b.tar'))
      assert.equal((await run(first, join(dir, 'b.tar'))).type, 'unchanged')
    }))

  it('whose images have left the store is imported again', () =>
    withArchive(async ({ run, dir, digest }) => {
      const first = await run()
      await rm(join(dir, 'oci', 'blobs', 'sha256', digest.replace('sha256:', '')))
      assert.equal((await run(first)).type, 'imported')
      assert.equal((await run(first)).type, 'unchanged')
    }))

  it('that has other bytes of the same length is imported', () =>
    withArchive(async ({ run, path }) => {
      const first = await run()
      const other = await buildImage({ seed: 'xx', layers: [{ sizeBytes: 5000 }] })
      await writeOciArchive(path, [{ name, image: other }])
      const second = await run(first)
      assert.ok(second.type === 'imported')
      assert.equal(digestHex(second.images[0]?.digest ?? other.root.digest), digestHex(other.root.digest))
    }))

  it('that is broken is told with its place, and known by its bytes as well', () =>
    withArchive(async ({ run, path }) => {
      await writeFile(path, Buffer.alloc(3000, 'x'))
      const first = await run()
      assert.ok(first.type === 'refused')
      assert.match(first.problem, /a\.tar: this is no tar archive.*at byte 0/)
      await utimes(path, new Date(), new Date(Date.now() + 5000))
      assert.deepEqual(await run(first), { type: 'unchanged', sha256: first.sha256 })
    }))

  it('that is broken and huge is given up where it is broken, and not read to its end', () =>
    withArchive(async ({ run, path }) => {
      // Reading this hole would outlast the test.
      await truncate(path, 0)
      await truncate(path, 2 ** 43)
      const outcome = await run()
      assert.ok(outcome.type === 'refused')
      assert.match(outcome.problem, /a\.tar: this is no tar archive.*at byte 0/)
      assert.equal(outcome.sha256, undefined)
    }))

  it('that cannot be read at all has no known bytes', () =>
    withArchive(async ({ run, dir }) => {
      const outcome = await run(undefined, join(dir, 'none.tar'))
      assert.ok(outcome.type === 'refused')
      assert.deepEqual([outcome.sha256, /no such file/.test(outcome.problem)], [undefined, true])
    }))
})
