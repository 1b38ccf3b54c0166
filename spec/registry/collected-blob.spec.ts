import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import type { CredentialSet } from '../../lib/core/credentials.ts'
import { type Digest, digestHex } from '../../lib/core/digest.ts'
import { LayoutWriter } from '../../lib/oci-layout/writer.ts'
import { eventually } from '../support/eventually.ts'
import { tempFolder } from '../support/temp-folder.ts'
import { makeTestCluster } from '../support/test-trust.ts'
import { FileBlobs } from './file-blobs.ts'
import { blobPath, fetchFrom, SpecControl, startIdle, startPlane } from './harness.ts'

test('a blob that is removed in the middle of its transfer arrives whole, and the next one is told that it is gone', async () => {
  await using folder = await tempFolder('collected')
  const cluster = await makeTestCluster({ nodes: [{ name: 'holder' }] })
  const holder = cluster.get('holder') as CredentialSet
  await LayoutWriter.open(folder.path)
  const blobs = new FileBlobs(folder.path)
  const control = new SpecControl(blobs)
  /** More than the buffers of a connection take. */
  const body = randomBytes(32 * 2 ** 20)
  const digest: Digest = blobs.put(body)
  const file = join(folder.path, 'blobs', 'sha256', digestHex(digest))
  await writeFile(file, body)
  await using plane = await startPlane(holder, { host: '127.0.11.131', control })
  await using client = await startIdle(plane.endpoint, holder, blobPath(digest))
  assert.equal(client.status, 200)
  await rm(file)
  assert.ok((await client.read()).equals(body))
  // Files stay open for a moment for whoever asks next.
  const first = { headers: { range: 'bytes=0-0' } }
  await eventually(
    async () => (await fetchFrom(plane.endpoint, holder, blobPath(digest), first)).status === 404,
    {
      what: 'that it is gone',
      timeoutMs: 30_000,
      intervalMs: 200,
    },
  )
  assert.deepEqual(control.lost, [digest])
})
