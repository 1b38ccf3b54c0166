import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { parseRequest, type RegistryRequest } from '../../lib/registry/request.ts'

const digest = `sha256:${'a'.repeat(64)}`

function route(url: string): RegistryRequest['route'] | undefined {
  const parsed = parseRequest('GET', url, {})
  return 'value' in parsed ? parsed.value.route : undefined
}

const page = { limit: undefined, after: undefined }

const routes: readonly (readonly [string, RegistryRequest['route']])[] = [
  ['/v2/', { kind: 'base' }],
  ['/v2', { kind: 'base' }],
  ['/v2/alpine/manifests/3.20', { kind: 'manifest', name: 'alpine', tag: '3.20' }],
  [`/v2/library/alpine/manifests/${digest}`, { kind: 'manifest', name: 'library/alpine', digest } as never],
  [`/v2/a/b/c/d/blobs/${digest}`, { kind: 'blob', name: 'a/b/c/d', digest } as never],
  [`/v2/a/blobs/sha256%3a${'a'.repeat(64)}`, { kind: 'blob', name: 'a', digest } as never],
  [
    `/v2/manifests/blobs/tags/blobs/${digest}`,
    { kind: 'blob', name: 'manifests/blobs/tags', digest } as never,
  ],
  ['/v2/tags/tags/list', { kind: 'tags', name: 'tags', page }],
  ['/v2/a/tags/list?n=5&last=b', { kind: 'tags', name: 'a', page: { limit: 5, after: 'b' } }],
  ['/v2/_catalog?n=0', { kind: 'catalog', page: { limit: 0, after: undefined } }],
  ['https://127.0.0.1:6443/v2/_catalog', { kind: 'catalog', page }],
]

for (const [url, expected] of routes) {
  test(`GET ${url.slice(0, 60)} is understood`, () => assert.deepEqual(route(url), expected))
}

const refusals: readonly (readonly [
  says: string,
  method: string,
  url: string,
  status: number,
  code: string,
])[] = [
  ['a path outside of /v2/', 'GET', '/', 404, 'UNSUPPORTED'],
  ['a path like /v2x', 'GET', '/v2x', 404, 'UNSUPPORTED'],
  ['a path that the API does not have', 'GET', '/v2/a/uploads/1', 404, 'UNSUPPORTED'],
  ['tags/ without list', 'GET', '/v2/a/tags/all', 404, 'UNSUPPORTED'],
  ['referrers', 'GET', `/v2/a/referrers/${digest}`, 404, 'UNSUPPORTED'],
  ['an upload', 'POST', '/v2/a/blobs/uploads/', 405, 'UNSUPPORTED'],
  ['a manifest that is put', 'PUT', '/v2/a/manifests/1', 405, 'UNSUPPORTED'],
  ['a blob that is deleted', 'DELETE', `/v2/a/blobs/${digest}`, 405, 'UNSUPPORTED'],
  ['a blob by tag', 'GET', '/v2/a/blobs/1.0', 400, 'DIGEST_INVALID'],
  ['a short digest', 'GET', '/v2/a/blobs/sha256:abc', 400, 'DIGEST_INVALID'],
  ['a digest in capitals', 'GET', `/v2/a/blobs/sha256:${'A'.repeat(64)}`, 400, 'DIGEST_INVALID'],
  ['another algorithm', 'GET', `/v2/a/manifests/sha512:${'a'.repeat(128)}`, 400, 'DIGEST_INVALID'],
  ['a referrers digest that is none', 'GET', '/v2/a/referrers/x', 400, 'DIGEST_INVALID'],
  ['a malformed tag', 'GET', '/v2/a/manifests/.INVALID_MANIFEST_NAME', 404, 'MANIFEST_UNKNOWN'],
  ['a tag of 129 characters', 'GET', `/v2/a/manifests/${'t'.repeat(129)}`, 404, 'MANIFEST_UNKNOWN'],
  ['an empty reference', 'GET', '/v2/a/manifests/', 404, 'MANIFEST_UNKNOWN'],
  ['a name in capitals', 'GET', `/v2/Alpine/blobs/${digest}`, 400, 'NAME_INVALID'],
  ['a name that climbs up', 'GET', `/v2/../../etc/blobs/${digest}`, 400, 'NAME_INVALID'],
  ['an encoded slash', 'GET', `/v2/a%2fb/blobs/${digest}`, 400, 'NAME_INVALID'],
  ['an encoded NUL', 'GET', `/v2/a%00/blobs/${digest}`, 400, 'NAME_INVALID'],
  ['a double slash', 'GET', `/v2/a//b/blobs/${digest}`, 400, 'NAME_INVALID'],
  ['a line break in the name', 'GET', `/v2/a\nb/blobs/${digest}`, 400, 'NAME_INVALID'],
  ['a name of 256 characters', 'GET', `/v2/${'a'.repeat(256)}/blobs/${digest}`, 400, 'NAME_INVALID'],
  ['a name of 4 KiB', 'GET', `/v2/${'a'.repeat(4000)}/blobs/${digest}`, 400, 'NAME_INVALID'],
  ['a very long target', 'GET', `/v2/${'a/'.repeat(4000)}blobs/${digest}`, 414, 'NAME_INVALID'],
  ['an ns that is no host', 'GET', '/v2/?ns=a/b', 400, 'NAME_INVALID'],
  ['an ns with bad encoding', 'GET', '/v2/?ns=%ff%00', 400, 'NAME_INVALID'],
  ['two different ns', 'GET', '/v2/?ns=a.example&ns=b.example', 400, 'NAME_INVALID'],
  ['an n that is no number', 'GET', '/v2/_catalog?n=-1', 400, 'PAGINATION_NUMBER_INVALID'],
  ['an n that is too large', 'GET', '/v2/a/tags/list?n=99999999999', 400, 'PAGINATION_NUMBER_INVALID'],
  ['a last of 4 KiB', 'GET', `/v2/_catalog?last=${'a'.repeat(3000)}`, 400, 'NAME_INVALID'],
]

for (const [says, method, url, status, code] of refusals) {
  test(`${says} is refused with ${status} ${code}`, () => {
    const parsed = parseRequest(method, url, {})
    assert.ok('failure' in parsed)
    assert.equal(parsed.failure.status, status)
    assert.equal(parsed.failure.code, code)
    assert.ok(parsed.failure.message.length > 10 && parsed.failure.message.length < 400)
    if (status === 405) assert.deepEqual(parsed.failure.headers, { allow: 'GET, HEAD' })
  })
}

test('the registry of ns is canonical, and a request without one has none', () => {
  const registryOf = (url: string) => {
    const parsed = parseRequest('GET', url, {})
    return 'value' in parsed ? parsed.value.registry : 'refused'
  }
  assert.equal(registryOf('/v2/?ns=Registry.Example.com:5000'), 'registry.example.com:5000')
  assert.equal(registryOf('/v2/?ns=index.docker.io'), 'docker.io')
  assert.equal(registryOf('/v2/?ns=%5B::1%5D:5000'), '[::1]:5000')
  assert.equal(registryOf('/v2/?ns='), undefined)
  assert.equal(registryOf('/v2/'), undefined)
})

test('a request of a peer is known by its header or its query', () => {
  const fromPeer = (url: string, headers = {}) => {
    const parsed = parseRequest('GET', url, headers)
    return 'value' in parsed && parsed.value.fromPeer
  }
  assert.equal(fromPeer('/v2/'), false)
  assert.equal(fromPeer('/v2/', { 'starling-hop': '1' }), true)
  assert.equal(fromPeer('/v2/?hop=1'), true)
  assert.equal(fromPeer('/v2/?hop=0'), false)
})

test('any target at all is either understood or refused with a client error', () => {
  fc.assert(
    fc.property(
      fc.constantFrom('GET', 'HEAD', 'PUT', 'BREW'),
      fc.oneof(
        fc.string(),
        fc.string({ unit: 'binary' }).map((text) => `/v2/${text}`),
      ),
      (method, url) => {
        const parsed = parseRequest(method, url, {})
        if ('failure' in parsed) assert.ok(parsed.failure.status >= 400 && parsed.failure.status < 500)
        else assert.ok(method === 'GET' || method === 'HEAD')
      },
    ),
  )
})
