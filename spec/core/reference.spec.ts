import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { StarlingError } from '../../lib/core/errors.ts'
import {
  canonicalRegistry,
  formatReference,
  isRegistryHost,
  OfferFilter,
  parseReference,
  tryParseReference,
} from '../../lib/core/reference.ts'

const hex = 'a'.repeat(64)

describe('image references', () => {
  const good: readonly [string, string, string, string | undefined, boolean][] = [
    ['docker.io/library/alpine:3', 'docker.io', 'library/alpine', '3', false],
    ['alpine', 'docker.io', 'library/alpine', undefined, false],
    ['me/tool:1', 'docker.io', 'me/tool', '1', false],
    ['index.docker.io/library/alpine:3', 'docker.io', 'library/alpine', '3', false],
    ['registry.example.com:5000/a/b/c:v1.2', 'registry.example.com:5000', 'a/b/c', 'v1.2', false],
    ['localhost/x:1', 'localhost', 'x', '1', false],
    ['localhost:5000/x', 'localhost:5000', 'x', undefined, false],
    ['[::1]:5000/x:1', '[::1]:5000', 'x', '1', false],
    [`quay.io/a/b@sha256:${hex}`, 'quay.io', 'a/b', undefined, true],
    [`quay.io/a/b:1@sha256:${hex}`, 'quay.io', 'a/b', '1', true],
    ['Quay.IO/a/b:1', 'quay.io', 'a/b', '1', false],
    ['quay.io/a__b/c-d--e.f:1', 'quay.io', 'a__b/c-d--e.f', '1', false],
  ]
  for (const [name, registry, repository, tag, hasDigest] of good) {
    it(`reads ${name}`, () => {
      const reference = parseReference(name)
      assert.deepEqual(
        [reference.registry, reference.repository, reference.tag, reference.digest !== undefined],
        [registry, repository, tag, hasDigest],
      )
    })
  }

  const bad = [
    '',
    'quay.io/',
    'quay.io/A/b:1',
    'quay.io/a//b',
    'quay.io/../etc:1',
    'quay.io/a:',
    'quay.io/a:-x',
    'quay.io/a@sha256:abc',
    'quay.io/a@',
    'exa mple.com/a:1',
    '-x.com/a:1',
    `quay.io/${'a'.repeat(256)}`,
    `quay.io/${'a'.repeat(2000)}`,
    'quay.io/a\0b:1',
    `sha256:${hex}`,
  ]
  for (const name of bad) {
    it(`refuses ${JSON.stringify(name.slice(0, 40))} with one line`, () => {
      assert.equal(tryParseReference(name), undefined)
      assert.throws(
        () => parseReference(name),
        (error) =>
          error instanceof StarlingError &&
          error.code === 'REFERENCE_INVALID' &&
          !error.format().includes('\n'),
      )
    })
  }

  it('writes back what it read', () => {
    for (const [name] of good) {
      const reference = parseReference(name)
      assert.deepEqual(parseReference(formatReference(reference)), reference)
    }
  })

  it('never throws anything but its own error', () => {
    fc.assert(
      fc.property(fc.string({ maxLength: 80 }), (name) => {
        const reference = tryParseReference(name)
        if (reference !== undefined) assert.deepEqual(parseReference(formatReference(reference)), reference)
      }),
    )
  })

  it('knows hosts from other text', () => {
    for (const host of ['docker.io', 'a:5000', '[::1]:5000', '10.0.0.1'])
      assert.ok(isRegistryHost(host), host)
    for (const host of ['', 'a b', 'a/b', 'a:', 'a:123456', '*', '.a', 'a..b'])
      assert.ok(!isRegistryHost(host), host)
    assert.equal(canonicalRegistry('registry-1.docker.io'), 'docker.io')
  })
})

describe('offer filter', () => {
  it('leaves latest out by default and nothing else', () => {
    const filter = new OfferFilter()
    assert.ok(!filter.offers('docker.io', 'library/a', 'latest'))
    assert.ok(filter.offers('docker.io', 'library/a', 'latest-1'))
    assert.ok(filter.offers('docker.io', 'library/latest', '1'))
  })

  it('can be told to leave out something else', () => {
    const filter = new OfferFilter([/^quay\.io\/secret\//])
    assert.ok(!filter.offers('quay.io', 'secret/a', '1'))
    assert.ok(filter.offers('quay.io', 'open/a', 'latest'))
  })
})
