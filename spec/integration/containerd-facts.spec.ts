import assert from 'node:assert/strict'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import type { Digest } from '../../lib/core/digest.ts'
import { containerdAvailable, startContainerd, type TestContainerd } from '../support/containerd.ts'
import { buildImage, type PlatformImage } from '../support/oci-image.ts'
import { type TempFolder, tempFolder } from '../support/temp-folder.ts'
import { wrongBlobs } from './containerd-lab.ts'
import { type Script, type SeenRequest, startScriptedRegistry, writeHead } from './scripted-registry.ts'

interface Pulled {
  readonly image: PlatformImage
  readonly layer: Digest
  readonly seen: readonly SeenRequest[]
  /** What `ctr` said where it failed. */
  readonly error: string | undefined
  readonly missing: readonly Digest[]
}

/** How the containerd of this machine treats a mirror: what the registry is built on, held against every new version. */
describe('containerd as the client of a mirror', { skip: containerdAvailable() ?? false }, () => {
  let folder: TempFolder
  let containerd: TestContainerd
  let count = 0
  before(async () => {
    folder = await tempFolder('facts')
    containerd = await startContainerd({ dir: folder.path, certsDir: join(folder.path, 'certs.d') })
  })
  after(async () => {
    await containerd?.kill()
    await folder?.[Symbol.asyncDispose]()
  })

  /** Pulls a new image with one layer of 3 MiB through a mirror that follows the script, and an upstream that is well. */
  async function pull(script: (layer: Digest) => Script): Promise<Pulled> {
    const host = `facts-${++count}.test`
    const image = await buildImage({ seed: host, layers: [{ sizeBytes: 3 * 2 ** 20 }] })
    const layer = image.layers[0]?.digest as Digest
    const seen: SeenRequest[] = []
    await using mirror = await startScriptedRegistry('mirror', image, seen, script(layer))
    await using upstream = await startScriptedRegistry('upstream', image, seen)
    const dir = join(folder.path, 'certs.d', host)
    await mkdir(dir, { recursive: true })
    await writeFile(
      join(dir, 'hosts.toml'),
      `server = "${upstream.url}"\n[host."${mirror.url}"]\ncapabilities = ["pull", "resolve"]\n`,
    )
    const error = await containerd.pull(`${host}/team/app:1`).then(
      () => undefined,
      (thrown: unknown) => String(thrown),
    )
    return { image, layer, seen, error, missing: await wrongBlobs(containerd, image) }
  }

  const of = (pulled: Pulled, digest: Digest) =>
    pulled.seen.filter((request) => request.what === `GET blobs/${digest}`)
  const hosts = (requests: readonly SeenRequest[]) => requests.map((request) => request.of)

  function assertWhole(pulled: Pulled): void {
    assert.equal(pulled.error, undefined)
    assert.deepEqual(pulled.missing, [])
  }

  it('asks for the tag by HEAD, then by digest, always with ns and never for /v2/', async () => {
    const pulled = await pull(() => () => false)
    assertWhole(pulled)
    const { image, seen } = pulled
    assert.deepEqual(
      seen.map((request) => request.what).sort(),
      [
        'HEAD manifests/1',
        `GET manifests/${image.root.digest}`,
        `GET blobs/${image.config.digest}`,
        `GET blobs/${pulled.layer}`,
      ].sort(),
    )
    for (const request of seen) {
      assert.equal(request.of, 'mirror')
      assert.equal(request.ns, `facts-${count}.test`)
    }
  })

  it('needs Docker-Content-Digest in the answer to HEAD, or it asks once more', async () => {
    const pulled = await pull(() => (request, { response, blob }) => {
      if (request.what !== 'HEAD manifests/1') return false
      const { mediaType, size } = blob.descriptor
      response.writeHead(200, { 'content-type': mediaType, 'content-length': size }).end()
      return true
    })
    assertWhole(pulled)
    assert.equal(pulled.seen.filter((request) => request.what === 'GET manifests/1').length, 1)
  })

  for (const status of [404, 503]) {
    it(`asks the next host at once after ${status}`, async () => {
      const pulled = await pull(() => (_request, { response }) => {
        response.writeHead(status).end()
        return true
      })
      assertWhole(pulled)
      for (const [index, request] of pulled.seen.entries()) {
        if (request.of !== 'mirror') continue
        const next = pulled.seen.slice(index + 1).find((other) => other.what === request.what)
        assert.equal(next?.of, 'upstream', `${request.what} goes to upstream`)
        assert.ok((next?.atMs ?? Number.POSITIVE_INFINITY) - request.atMs < 1000)
      }
      assert.deepEqual(hosts(of(pulled, pulled.layer)), ['mirror', 'upstream'])
    })
  }

  it('goes on at the mirror with a Range after an early FIN, and upstream when the mirror says 404', async () => {
    const sentBytes = 2 ** 20
    const pulled = await pull((layer) => (request, answer) => {
      if (request.what !== `GET blobs/${layer}`) return false
      if (request.range !== undefined) {
        answer.response.writeHead(404).end()
        return true
      }
      writeHead(answer, false)
      answer.response.write(answer.bytes.subarray(0, sentBytes), () => answer.socket.end())
      return true
    })
    assertWhole(pulled)
    const requests = of(pulled, pulled.layer)
    assert.deepEqual(hosts(requests), ['mirror', 'mirror', 'upstream'])
    const rest = `bytes=${sentBytes}-`
    assert.deepEqual(
      requests.map((request) => request.range),
      [undefined, rest, rest],
    )
  })

  it('fails at once when a body ends by a reset', async () => {
    const pulled = await pull((layer) => (request, answer) => {
      if (request.what !== `GET blobs/${layer}`) return false
      writeHead(answer, false)
      answer.response.write(answer.bytes.subarray(0, 2 ** 20), () => answer.socket.resetAndDestroy())
      return true
    })
    assert.match(pulled.error ?? '', /connection reset by peer/)
    assert.deepEqual(hosts(of(pulled, pulled.layer)), ['mirror'])
    assert.ok(pulled.missing.includes(pulled.layer))
  })

  it('fails without a word to upstream when answers begin and bring nothing', async () => {
    const pulled = await pull((layer) => (request, answer) => {
      if (request.what !== `GET blobs/${layer}`) return false
      writeHead(answer, request.range !== undefined)
      answer.response.flushHeaders()
      answer.socket.end()
      return true
    })
    assert.notEqual(pulled.error, undefined)
    assert.ok(!hosts(of(pulled, pulled.layer)).includes('upstream'))
  })

  it('does not repair a wrong byte', async () => {
    const pulled = await pull((layer) => (request, answer) => {
      if (request.what !== `GET blobs/${layer}`) return false
      writeHead(answer, false)
      const wrong = Buffer.from(answer.bytes)
      wrong[1000] = (wrong[1000] ?? 0) ^ 1
      answer.response.end(wrong)
      return true
    })
    assert.match(pulled.error ?? '', /unexpected commit digest/)
    assert.deepEqual(hosts(of(pulled, pulled.layer)), ['mirror'])
  })
})
