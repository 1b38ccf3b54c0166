import assert from 'node:assert/strict'
import { readdirSync } from 'node:fs'
import { after, before, describe, it } from 'node:test'
import type { ContentStore } from '../../lib/core/content-store.ts'
import type { Digest } from '../../lib/core/digest.ts'
import { eventually } from './eventually.ts'
import { buildArtifact, buildImage, buildIndex, hostPlatform, type TestImage, without } from './oci-image.ts'
import { expectedBytes, Recording, readAll } from './store-testing.ts'

/** A backend that the contract is tried on. */
export interface StoreBackend {
  /** A new store on it; not started. */
  store(): ContentStore
  /** Puts the image's blobs and name there; a name that exists moves to it. */
  put(name: string, image: TestImage): Promise<void>
  /** Takes the name away; the blobs may go or stay. */
  remove(name: string): Promise<void>
  /** Takes a blob away without a word. */
  removeBlob(digest: Digest): Promise<void>
  /** Makes the backend unavailable. */
  interrupt(): Promise<void>
  /** Ends an interruption, with all content as before. */
  resume(): Promise<void>
  /** Namespace under which its images are told. */
  readonly namespace: string
  close(): Promise<void>
}

const absentDigest = `sha256:${'ab'.repeat(32)}` as Digest

function openDescriptors(): number {
  return readdirSync('/proc/self/fd').length
}

/** The contract of `ContentStore`, as one suite that each implementation is held to. */
export function contentStoreContract(
  title: string,
  options: { skip: string | undefined; open: () => Promise<StoreBackend> },
): void {
  describe(`${title}: the contract of content stores`, { skip: options.skip ?? false }, () => {
    let backend: StoreBackend
    let opened: ContentStore[] = []
    const open = async (): Promise<{ store: ContentStore; told: Recording }> => {
      const store = backend.store()
      opened.push(store)
      return { store, told: await Recording.of(store) }
    }
    const withStore = (name: string, body: () => Promise<void>): void => {
      it(name, async () => {
        try {
          await body()
        } finally {
          await Promise.all(opened.map((store) => store.stop()))
          opened = []
        }
      })
    }

    before(async () => {
      backend = await options.open()
    })
    after(() => backend.close())

    withStore('what is there at the start comes in one snapshot, manifests with their children', async () => {
      const image = await buildImage({ seed: 'start', layers: [{ sizeBytes: 3000, gzip: true }] })
      await backend.put('registry.test/start:1', image)
      const { told } = await open()
      assert.equal(told.changes[0]?.type, 'snapshot')
      assert.equal(told.target('registry.test/start:1'), image.root.digest)
      const manifest = told.view.blobs.get(image.root.digest)
      assert.deepEqual(manifest?.children, [
        image.config.digest,
        ...image.layers.map((layer) => layer.digest),
      ])
      assert.equal(manifest?.sizeBytes, image.root.size)
      for (const [digest, blob] of image.blobs) {
        assert.equal(told.view.blobs.get(digest)?.sizeBytes, blob.descriptor.size)
      }
      assert.equal(told.view.blobs.get(image.config.digest)?.children, undefined)
    })

    withStore('an image that appears is told with its blobs', async () => {
      const { told } = await open()
      const image = await buildImage({ seed: 'appears', layers: [{ sizeBytes: 1 }, { sizeBytes: 70_000 }] })
      await backend.put('registry.test:5000/team/app:v1.2', image)
      await told.holds('registry.test:5000/team/app:v1.2', image)
      const put = [...told.view.images.values()].find((stored) => stored.target === image.root.digest)
      assert.equal(put?.namespace, backend.namespace)
      await eventually(() => told.view.blobs.get(image.root.digest)?.children?.length === 3)
    })

    withStore('a tag that moves points to the new image', async () => {
      const { told } = await open()
      const first = await buildImage({ seed: 'first', layers: [{ sizeBytes: 10 }] })
      const second = await buildImage({ seed: 'second', layers: [{ sizeBytes: 10 }] })
      await backend.put('docker.io/library/moves:1', first)
      await told.holds('docker.io/library/moves:1', first)
      await backend.put('docker.io/library/moves:1', second)
      await told.holds('docker.io/library/moves:1', second)
    })

    withStore('a name that is taken away is told as deleted', async () => {
      const image = await buildImage({ seed: 'deleted', layers: [{ sizeBytes: 10 }] })
      await backend.put('registry.test/deleted:1', image)
      await backend.put('registry.test/stays:1', image)
      const { told } = await open()
      await backend.remove('registry.test/deleted:1')
      await eventually(() => told.target('registry.test/deleted:1') === undefined)
      assert.equal(told.target('registry.test/stays:1'), image.root.digest)
    })

    withStore('a blob that vanished is no longer told after an audit', async () => {
      const image = await buildImage({ seed: 'vanishes', layers: [{ sizeBytes: 5000 }] })
      await backend.put('registry.test/vanishes:1', image)
      const { store, told } = await open()
      const layer = image.layers[0]!.digest
      assert.ok(told.view.blobs.has(layer))
      await backend.removeBlob(layer)
      await store.audit()
      assert.equal(told.view.blobs.has(layer), false)
      assert.equal(await store.reader().open(layer), undefined)
    })

    withStore('an audit that finds nothing new tells nothing', async () => {
      const image = await buildImage({ seed: 'same', layers: [{ sizeBytes: 10 }] })
      await backend.put('registry.test/same:1', image)
      const { store, told } = await open()
      await store.audit()
      const before = told.changes.length
      await store.audit()
      assert.equal(told.changes.length, before)
    })

    withStore('of a multi-platform image only the platform that is present is told', async () => {
      const { told } = await open()
      const here = hostPlatform()
      const elsewhere = { os: 'linux', architecture: here.architecture === 's390x' ? 'ppc64le' : 's390x' }
      const present = await buildImage({ seed: 'present', layers: [{ sizeBytes: 200 }], platform: here })
      const absent = await buildImage({ seed: 'absent', layers: [{ sizeBytes: 300 }], platform: elsewhere })
      const index = await buildIndex([
        { image: present, platform: here },
        { image: absent, platform: elsewhere },
      ])
      const partial = without(index, absent.blobs.keys())
      await backend.put('registry.test/multi:1', partial)
      await told.holds('registry.test/multi:1', partial)
      await eventually(() => told.view.blobs.get(present.root.digest)?.children !== undefined)
      assert.deepEqual(told.view.blobs.get(index.root.digest)?.children, [
        present.root.digest,
        absent.root.digest,
      ])
      for (const digest of absent.blobs.keys()) assert.equal(told.view.blobs.has(digest), false)
    })

    withStore('a blob without a byte is told and can be read', async () => {
      const { store, told } = await open()
      const artifact = await buildArtifact({ seed: 'empty', sizes: [0, 17] })
      await backend.put('registry.test/empty:1', artifact)
      await told.holds('registry.test/empty:1', artifact)
      const empty = [...artifact.blobs.values()].find((blob) => blob.descriptor.size === 0)!.descriptor.digest
      assert.equal(told.view.blobs.get(empty)?.sizeBytes, 0)
      assert.equal((await readAll(store.reader(), empty))?.length, 0)
    })

    withStore('a reader gives every range of a blob, and nothing beyond its end', async () => {
      const image = await buildImage({ seed: 'ranges', layers: [{ sizeBytes: 300_000 }] })
      await backend.put('registry.test/ranges:1', image)
      const { store } = await open()
      const { digest, size } = image.layers[0]!
      const expected = await expectedBytes(image, digest)
      const reader = store.reader()
      assert.deepEqual(await readAll(reader, digest), expected)
      const handle = await reader.open(digest)
      assert.ok(handle)
      assert.equal(handle.sizeBytes, size)
      for (const [offset, length] of [
        [0, 1],
        [1, 100_000],
        [0, 70_000],
        [size - 5, 100],
        [size, 10],
        [size + 1000, 10],
      ] as const) {
        const target = Buffer.alloc(length)
        let filled = 0
        for (;;) {
          const count = await handle.read(target.subarray(filled), offset + filled)
          filled += count
          if (count === 0 || filled === length) break
        }
        assert.deepEqual(target.subarray(0, filled), expected.subarray(offset, offset + length))
      }
      await handle.close()
    })

    withStore('an open blob stays readable when it is deleted', async () => {
      const image = await buildImage({ seed: 'survives', layers: [{ sizeBytes: 200_000 }] })
      await backend.put('registry.test/survives:1', image)
      const { store, told } = await open()
      const { digest, size } = image.layers[0]!
      const handle = await store.reader().open(digest)
      assert.ok(handle)
      await backend.removeBlob(digest)
      await eventually(() => !told.view.blobs.has(digest) || store.audit().then(() => false))
      const bytes = Buffer.alloc(size)
      let filled = 0
      while (filled < size) filled += await handle.read(bytes.subarray(filled), filled)
      assert.deepEqual(bytes, await expectedBytes(image, digest))
      await handle.close()
    })

    withStore('a digest that nobody has opens as undefined', async () => {
      const { store } = await open()
      assert.equal(await store.reader().open(absentDigest), undefined)
    })

    withStore('text that is not a digest never reaches the file system', async () => {
      const { store } = await open()
      for (const text of ['sha256:../../../etc/passwd', '../index.json', '', `sha512:${'0'.repeat(128)}`]) {
        await assert.rejects(() => store.reader().open(text as Digest), { code: 'DIGEST_INVALID' })
      }
    })

    withStore('after an interruption a snapshot says again what is there', async () => {
      const image = await buildImage({ seed: 'resumes', layers: [{ sizeBytes: 10 }] })
      await backend.put('registry.test/resumes:1', image)
      const { store, told } = await open()
      await backend.interrupt()
      await eventually(() => store.status().state === 'waiting')
      assert.match(store.status().problem ?? '', /\S/)
      assert.doesNotMatch(store.status().problem ?? '', /\n/)
      told.changes.length = 0
      await backend.resume()
      await eventually(() => store.status().state === 'connected', { timeoutMs: 20_000 })
      assert.equal(store.status().problem, undefined)
      await told.holds('registry.test/resumes:1', image)
      const later = await buildImage({ seed: 'later', layers: [{ sizeBytes: 10 }] })
      await backend.put('registry.test/later:1', later)
      await told.holds('registry.test/later:1', later)
      assert.ok(told.changes.some((change) => change.type === 'snapshot'))
    })

    withStore('the next change waits until the listener has taken the last one', async () => {
      const store = backend.store()
      opened.push(store)
      let listening = 0
      let most = 0
      const told = new Recording()
      await store.start(async (change) => {
        listening += 1
        most = Math.max(most, listening)
        await new Promise((resolve) => setTimeout(resolve, 15))
        listening -= 1
        told.hear(change)
      })
      const images = await Promise.all(
        ['a', 'b', 'c'].map((seed) => buildImage({ seed: `slow-${seed}`, layers: [{ sizeBytes: 10 }] })),
      )
      for (const [index, image] of images.entries()) await backend.put(`registry.test/slow:${index}`, image)
      for (const [index, image] of images.entries()) await told.holds(`registry.test/slow:${index}`, image)
      assert.equal(most, 1)
    })

    withStore(
      'what a store was made from, sent through a structured clone, reads the same blobs',
      async () => {
        const { store } = await open()
        const source = store.source()
        assert.deepEqual(structuredClone(source), source)
      },
    )

    it('a stopped store leaves no handle open and says that it is stopped', async () => {
      const image = await buildImage({ seed: 'stopped', layers: [{ sizeBytes: 10 }] })
      await backend.put('registry.test/stopped:1', image)
      const idle = backend.store()
      await idle.stop()
      const resources = process.getActiveResourcesInfo().length
      const descriptors = openDescriptors()
      const store = backend.store()
      await Recording.of(store)
      await store.reader().open(image.root.digest)
      await store.stop()
      await store.stop()
      assert.equal(store.status().state, 'stopped')
      await eventually(
        () => process.getActiveResourcesInfo().length <= resources && openDescriptors() <= descriptors,
        { what: 'handles and descriptors are as before' },
      )
    })

    it('a store whose listener never returns can be stopped', async () => {
      const store = backend.store()
      const heard = Promise.withResolvers<void>()
      await store.start(() => {
        heard.resolve()
        return new Promise(() => {})
      })
      await heard.promise
      await store.stop()
      assert.equal(store.status().state, 'stopped')
    })
  })
}
