import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { Downloads } from '../../lib/app/flights/downloads.ts'
import type { BlobReader, GrowingState } from '../../lib/core/content-store.ts'
import type { Digest } from '../../lib/core/digest.ts'

const bytes = randomBytes(2_500_000)
const digest = `sha256:${createHash('sha256').update(bytes).digest('hex')}` as Digest
const key = { registry: 'registry.test', digest }

/** A store with one download whose state the test decides; it is found until it is gone. */
function storeOf(body: Uint8Array) {
  const download = {
    state: 'open' as GrowingState,
    reachedBytes: body.length,
    opened: 0,
    closed: 0,
    readable: Promise.resolve(),
  }
  const reader: BlobReader = {
    open: async () => undefined,
    openGrowing: async () => {
      if (download.state === 'gone') return undefined
      download.opened++
      return {
        look: async () => ({
          state: download.state,
          reachedBytes: download.reachedBytes,
          sizeBytes: bytes.length,
        }),
        read: async (target, offset) => {
          await download.readable
          const part = body.subarray(offset, offset + target.length)
          target.set(part)
          return part.length
        },
        close: async () => {
          download.closed++
        },
      }
    },
    close: async () => {},
  }
  const source = { kind: 'oci-layout', path: '/nowhere' } as const
  return { download, downloads: new Downloads({ reader: () => reader, source: () => source }) }
}

test('a download that vanishes after its last byte was cancelled where its bytes are right', async () => {
  const { download, downloads } = storeOf(bytes)
  assert.equal((await downloads.look(key))?.state, 'open')
  download.state = 'gone'
  assert.deepEqual(await Promise.all([downloads.look(key), downloads.look(key)]), [undefined, undefined])
  assert.deepEqual([download.opened, download.closed], [1, 1])
})

test('one that vanishes with other bytes than those of the digest was wrong, and nobody waits for that to be found', async () => {
  const spoiled = Buffer.from(bytes)
  spoiled[2_000_000] = (spoiled[2_000_000] ?? 0) ^ 1
  const { download, downloads } = storeOf(spoiled)
  await downloads.look(key)
  download.state = 'gone'
  const { promise, resolve } = Promise.withResolvers<void>()
  download.readable = promise
  const looks = [downloads.look(key), downloads.look(key)]
  await new Promise(setImmediate)
  assert.equal(await downloads.glance(key), undefined)
  resolve()
  for (const look of looks) assert.equal((await look)?.state ?? 'gone', 'wrong')
  assert.equal(await downloads.look(key), undefined)
  assert.equal(download.closed, 1)
})

test('one that vanishes before its last byte is not read', async () => {
  const { download, downloads } = storeOf(randomBytes(bytes.length))
  await downloads.look(key)
  download.reachedBytes--
  download.state = 'gone'
  assert.equal(await downloads.look(key), undefined)
})
