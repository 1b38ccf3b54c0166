import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { Readable } from 'node:stream'
import { describe, it } from 'node:test'
import { download } from '../../../lib/app/pull/download.ts'
import type { MirrorAnswer, MirrorRequest } from '../../../lib/app/pull/mirror-client.ts'
import type { Digest } from '../../../lib/core/digest.ts'
import { StarlingError } from '../../../lib/core/errors.ts'

const content = Buffer.from('starling '.repeat(1000))
const digest = `sha256:${createHash('sha256').update(content).digest('hex')}` as Digest

/** A mirror whose answers break off after so many bytes each, and then say 404 if there are no more. */
function mirrorOf(steps: readonly number[], bytes: Buffer = content) {
  const asked: MirrorRequest[] = []
  const ask = async (request: MirrorRequest): Promise<MirrorAnswer> => {
    const step = steps[asked.length]
    asked.push(request)
    if (step === undefined) return { ok: false, status: 404, reason: 'nobody is left who has the rest' }
    const rest = bytes.subarray(request.fromByte ?? 0)
    const body = Readable.from(
      (function* () {
        if (step > 0) yield rest.subarray(0, step)
        if (step < rest.length) throw new Error('aborted')
      })(),
    )
    return { ok: true, headers: { 'content-length': String(rest.length) }, body }
  }
  return { asked, ask }
}

async function bytesOf(
  mirror: ReturnType<typeof mirrorOf>,
  sizeBytes: number | undefined = content.length,
): Promise<Buffer> {
  const chunks: Uint8Array[] = []
  const wanted = { path: '/v2/a/blobs/x', digest, sizeBytes, what: 'the layer x' }
  for await (const chunk of download(mirror, wanted)) chunks.push(chunk)
  return Buffer.concat(chunks)
}

const notFound = (pattern: RegExp) => (error: unknown) =>
  error instanceof StarlingError && error.code === 'NOT_FOUND' && pattern.test(error.format())

describe('a download from the mirror', () => {
  it('that breaks off goes on where it was, as often as bytes come', async () => {
    const mirror = mirrorOf([1000, 0, 1, 0, 0, 0, 500, content.length])
    assert.deepEqual(await bytesOf(mirror), content)
    assert.deepEqual(
      mirror.asked.map(({ fromByte }) => fromByte),
      [0, 1000, 1000, 1001, 1001, 1001, 1001, 1501],
    )
  })

  it('fails after four answers without a byte', async () => {
    const mirror = mirrorOf([10, 0, 0, 0, 0, content.length])
    await assert.rejects(bytesOf(mirror), notFound(/the layer x is not available: .*sends no byte/))
    assert.equal(mirror.asked.length, 5)
  })

  it('fails with the reason of the mirror when nobody is left', async () => {
    await assert.rejects(bytesOf(mirrorOf([10])), notFound(/nobody is left who has the rest/))
  })

  it('fails where the bytes are not those of the digest, or their number is another', async () => {
    const wrong = Buffer.from(content)
    wrong[5] = 0
    await assert.rejects(bytesOf(mirrorOf([content.length], wrong)), notFound(/bytes have digest sha256:/))
    await assert.rejects(bytesOf(mirrorOf([content.length]), 7), notFound(/should have 7 bytes/))
  })
})
