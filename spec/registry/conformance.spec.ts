import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { after, before, test } from 'node:test'
import type { CredentialSet } from '../../lib/core/credentials.ts'
import type { Digest } from '../../lib/core/digest.ts'
import { makeTestCluster } from '../support/test-trust.ts'
import {
  type ClientAnswer,
  candidateOf,
  digestOf,
  fetchFrom,
  keptAgent,
  manifestBytes,
  registry,
  repository,
} from './harness.ts'
import { startWorkerNode, type WorkerNode } from './worker-node.ts'

/**
 * The pull and content discovery checks of the OCI distribution conformance suite (opencontainers/distribution-spec,
 * conformance/), each as a row, run over mutual TLS against worker threads: once where the content is local, and once
 * where a peer has it.
 */
interface Row {
  readonly check: string
  readonly method: 'GET' | 'HEAD' | 'PUT' | 'POST' | 'PATCH' | 'DELETE'
  readonly path: string
  readonly headers?: Readonly<Record<string, string>>
  readonly status: number
  /** Headers that the answer must have; `undefined`: must not have. */
  readonly expect?: Readonly<Record<string, string | undefined>>
  readonly code?: string
  readonly body?: Buffer | object
}

const config = Buffer.from(
  JSON.stringify({ architecture: 'amd64', os: 'linux', rootfs: { type: 'layers', diff_ids: [] } }),
)
const layer = randomBytes(300_000)
const empty = Buffer.alloc(0)
const manifest = manifestBytes(digestOf(config), [digestOf(layer), digestOf(empty)])
const index = Buffer.from(
  JSON.stringify({
    schemaVersion: 2,
    manifests: [
      {
        mediaType: 'application/vnd.oci.image.manifest.v1+json',
        digest: digestOf(manifest),
        size: manifest.length,
      },
    ],
  }),
)
const tags = ['a', 'b', 'c', 'd'].map((letter) => `tag-${letter}`)
const unknown = `sha256:${'0'.repeat(64)}` as Digest
const ns = `ns=${registry}`
const v2 = `/v2/${repository}`
const etag = (bytes: Buffer) => `"${digestOf(bytes)}"`

const manifestHead = {
  'content-type': 'application/vnd.oci.image.manifest.v1+json',
  'content-length': String(manifest.length),
  'docker-content-digest': digestOf(manifest),
  'docker-distribution-api-version': 'registry/2.0',
  etag: etag(manifest),
  'content-encoding': undefined,
}
const layerHead = {
  'content-type': 'application/octet-stream',
  'content-length': String(layer.length),
  'docker-content-digest': digestOf(layer),
  'docker-distribution-api-version': 'registry/2.0',
  'accept-ranges': 'bytes',
  etag: etag(layer),
  'content-encoding': undefined,
}

function get(check: string, path: string, status: number, more: Partial<Row> = {}): Row {
  return { check, method: 'GET', path, status, ...more }
}

function head(check: string, path: string, status: number, more: Partial<Row> = {}): Row {
  return { check, method: 'HEAD', path, status, ...more }
}

const blobUrl = (digest: string) => `${v2}/blobs/${digest}?${ns}`
const manifestUrl = (reference: string) => `${v2}/manifests/${reference}?${ns}`
const range = (value: string) => ({ headers: { range: value } })

const pull: readonly Row[] = [
  get('GET /v2/ says that the API is here', '/v2/', 200, {
    expect: { 'docker-distribution-api-version': 'registry/2.0' },
  }),
  head('HEAD request to nonexistent blob should result in 404 response', blobUrl(unknown), 404),
  get('GET nonexistent blob should result in 404 response', blobUrl(unknown), 404, { code: 'BLOB_UNKNOWN' }),
  head('HEAD request to existing blob should yield 200', blobUrl(digestOf(layer)), 200, {
    expect: layerHead,
  }),
  get('GET request to existing blob URL should yield 200', blobUrl(digestOf(layer)), 200, {
    expect: layerHead,
    body: layer,
  }),
  get('GET of a config blob', blobUrl(digestOf(config)), 200, { body: config }),
  get('GET of a blob without bytes', blobUrl(digestOf(empty)), 200, {
    expect: { 'content-length': '0' },
    body: empty,
  }),
  get('GET of a range of a blob without bytes', blobUrl(digestOf(empty)), 416, {
    ...range('bytes=0-'),
    expect: { 'content-range': 'bytes */0' },
    code: 'RANGE_INVALID',
  }),
  get('GET of a manifest as a blob', blobUrl(digestOf(manifest)), 200, { body: manifest }),
  get('GET of a range of a blob', blobUrl(digestOf(layer)), 206, {
    ...range('bytes=10-19'),
    expect: { 'content-range': 'bytes 10-19/300000', 'content-length': '10' },
    body: layer.subarray(10, 20),
  }),
  get('GET of an open range', blobUrl(digestOf(layer)), 206, {
    ...range('bytes=299990-'),
    expect: { 'content-range': 'bytes 299990-299999/300000' },
    body: layer.subarray(299_990),
  }),
  get('GET of a suffix range', blobUrl(digestOf(layer)), 206, {
    ...range('bytes=-7'),
    expect: { 'content-range': 'bytes 299993-299999/300000' },
    body: layer.subarray(-7),
  }),
  get('GET of a range that goes beyond the end', blobUrl(digestOf(layer)), 206, {
    ...range('bytes=299999-400000'),
    body: layer.subarray(-1),
  }),
  get('GET of the whole as a range', blobUrl(digestOf(layer)), 206, { ...range('bytes=0-'), body: layer }),
  get('GET of a range after the end', blobUrl(digestOf(layer)), 416, {
    ...range('bytes=300000-'),
    expect: { 'content-range': 'bytes */300000' },
    code: 'RANGE_INVALID',
  }),
  get('GET of several ranges gives the whole', blobUrl(digestOf(layer)), 200, {
    ...range('bytes=0-1,5-6'),
    body: layer,
  }),
  get('GET with an If-Range of other content gives the whole', blobUrl(digestOf(layer)), 200, {
    headers: { range: 'bytes=0-1', 'if-range': '"x"' },
    body: layer,
  }),
  get('GET of a blob that the client has', blobUrl(digestOf(layer)), 304, {
    headers: { 'if-none-match': etag(layer) },
    expect: { etag: etag(layer) },
    body: empty,
  }),
  get('GET of a blob by a malformed digest', blobUrl('sha256:abc'), 400, { code: 'DIGEST_INVALID' }),
  get('GET of a blob by tag', blobUrl('tag-a'), 400, { code: 'DIGEST_INVALID' }),
  head('HEAD request to nonexistent manifest should return 404', manifestUrl('.INVALID_MANIFEST_NAME'), 404),
  get('GET nonexistent manifest should return 404', manifestUrl('.INVALID_MANIFEST_NAME'), 404, {
    code: 'MANIFEST_UNKNOWN',
  }),
  get('GET nonexistent manifest by digest should return 404', manifestUrl(unknown), 404, {
    code: 'MANIFEST_UNKNOWN',
  }),
  get('GET nonexistent manifest by tag should return 404', manifestUrl('no-such-tag'), 404, {
    code: 'MANIFEST_UNKNOWN',
  }),
  head(
    'HEAD request to manifest path (digest) should yield 200 response',
    manifestUrl(digestOf(manifest)),
    200,
    { expect: manifestHead },
  ),
  head('HEAD request to manifest path (tag) should yield 200 response', manifestUrl('tag-a'), 200, {
    expect: manifestHead,
  }),
  get(
    'GET request to manifest path (digest) should yield 200 response',
    manifestUrl(digestOf(manifest)),
    200,
    { expect: manifestHead, body: manifest },
  ),
  get('GET request to manifest path (tag) should yield 200 response', manifestUrl('tag-a'), 200, {
    expect: manifestHead,
    body: manifest,
  }),
  get('GET of an index has the media type of an index', manifestUrl(digestOf(index)), 200, {
    expect: { 'content-type': 'application/vnd.oci.image.index.v1+json' },
    body: index,
  }),
  get('GET of a manifest that the client has', manifestUrl('tag-a'), 304, {
    headers: { 'if-none-match': `"x", W/${etag(manifest)}` },
    body: empty,
  }),
  get('GET of a layer as a manifest', manifestUrl(digestOf(layer)), 404, { code: 'MANIFEST_UNKNOWN' }),
  get('GET of a manifest of a malformed name', `/v2/Team/tool/manifests/1?${ns}`, 400, {
    code: 'NAME_INVALID',
  }),
  get('GET of a registry that is not mirrored', `${v2}/manifests/tag-a?ns=other.example`, 404, {
    code: 'NAME_UNKNOWN',
  }),
  get('GET without ns finds the registry that knows the name', `${v2}/manifests/tag-a`, 200, {
    body: manifest,
  }),
  ...(['PUT', 'POST', 'PATCH', 'DELETE'] as const).map(
    (method): Row => ({
      check: `${method} is not allowed on a mirror`,
      method,
      path: manifestUrl('tag-a'),
      status: 405,
      expect: { allow: 'GET, HEAD' },
      code: 'UNSUPPORTED',
    }),
  ),
]

const list = `${v2}/tags/list?${ns}`
const discovery: readonly Row[] = [
  get('GET request to list tags should yield 200 response and be sorted', list, 200, {
    expect: { 'content-type': 'application/json', link: undefined },
    body: { name: repository, tags },
  }),
  get('GET number of tags should be limitable by `n` query parameter', `${list}&n=2`, 200, {
    expect: { link: `<${v2}/tags/list?ns=${encodeURIComponent(registry)}&n=2&last=tag-b>; rel="next"` },
    body: { name: repository, tags: tags.slice(0, 2) },
  }),
  get('GET start of tag is set by `last` query parameter', `${list}&n=2&last=tag-b`, 200, {
    expect: { link: undefined },
    body: { name: repository, tags: tags.slice(2) },
  }),
  get('GET with n=0 gives an empty list without a link', `${list}&n=0`, 200, {
    expect: { link: undefined },
    body: { name: repository, tags: [] },
  }),
  get('GET with an n that is no number', `${list}&n=x`, 400, { code: 'PAGINATION_NUMBER_INVALID' }),
  get('GET tags of an unknown repository', `/v2/nobody/tags/list?${ns}`, 404, { code: 'NAME_UNKNOWN' }),
  get('GET _catalog lists the repositories', `/v2/_catalog?${ns}`, 200, {
    body: { repositories: ['other', repository] },
  }),
  get('GET _catalog with n', `/v2/_catalog?n=1`, 200, {
    expect: { link: '</v2/_catalog?n=1&last=other>; rel="next"' },
    body: { repositories: ['other'] },
  }),
  get('GET _catalog with n and last', `/v2/_catalog?n=1&last=other`, 200, {
    expect: { link: undefined },
    body: { repositories: [repository] },
  }),
  get('GET referrers is not served, and says so', `${v2}/referrers/${digestOf(manifest)}?${ns}`, 404, {
    code: 'UNSUPPORTED',
  }),
]

let cluster: Map<string, CredentialSet>
let holder: WorkerNode
let asking: WorkerNode
const agent = keptAgent()
const node = (name: string): CredentialSet => cluster.get(name) as CredentialSet

before(async () => {
  cluster = await makeTestCluster({ nodes: [{ name: 'holder' }, { name: 'asking' }] })
  holder = await startWorkerNode(node('holder'), '127.0.11.21')
  asking = await startWorkerNode(node('asking'), '127.0.11.22')
  for (const bytes of [config, layer, empty, manifest, index]) await holder.put(bytes)
  for (const { control } of [holder, asking]) {
    for (const tag of tags) control.tags.set(`${repository}:${tag}`, digestOf(manifest))
    control.tags.set('other:1', digestOf(index))
  }
  asking.control.candidates = [candidateOf(node('holder'), holder.endpoint)]
})

after(async () => {
  agent.destroy()
  await asking?.[Symbol.asyncDispose]()
  await holder?.[Symbol.asyncDispose]()
})

function check(row: Row, answer: ClientAnswer): void {
  assert.equal(answer.status, row.status, answer.body.toString().slice(0, 300))
  assert.equal(answer.end, 'complete')
  for (const [name, value] of Object.entries(row.expect ?? {}))
    assert.equal(answer.headers[name], value, name)
  if (row.method === 'HEAD') assert.equal(answer.body.length, 0)
  if (Buffer.isBuffer(row.body)) assert.ok(answer.body.equals(row.body))
  else if (row.body !== undefined) assert.deepEqual(JSON.parse(answer.body.toString()), row.body)
  if (row.code !== undefined) {
    const { errors } = JSON.parse(answer.body.toString()) as { errors: { code: string; message: string }[] }
    assert.equal(errors[0]?.code, row.code)
    assert.match(errors[0]?.message ?? '', /^starling: .{10,}/)
  }
}

for (const row of [...pull, ...discovery]) {
  test(`${row.check} (local)`, async () => {
    const { method, path, headers = {} } = row
    check(row, await fetchFrom(holder.endpoint, node('asking'), path, { method, headers, agent }))
  })
  test(`${row.check} (from a peer)`, async () => {
    const { method, path, headers = {} } = row
    check(row, await fetchFrom(asking.endpoint, node('asking'), path, { method, headers }))
  })
}

test('a request from a peer is answered from local content only', async () => {
  for (const [path, headers] of [
    [blobUrl(digestOf(layer)), { 'starling-hop': '1' }],
    [`${blobUrl(digestOf(layer))}&hop=1`, {}],
  ] as const) {
    const answer = await fetchFrom(asking.endpoint, node('holder'), path, { headers })
    assert.equal(answer.status, 404)
    assert.match(answer.body.toString(), /this node does not hold/)
  }
})

test('every request is reported once, with what was decided and why', () => {
  const { requests } = asking.control
  assert.ok(
    requests.some(({ source, reason }) => source === 'peer' && reason === 'from holder (1 of 1 holder)'),
  )
  assert.ok(requests.every(({ status, reason }) => status > 0 && reason !== ''))
  assert.ok(requests.every(({ client }) => client === 'asking' || client === 'holder'))
})
