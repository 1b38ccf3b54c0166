import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { mergeSources, sourcesOf } from '../../lib/containerd/labels.ts'

const prefix = 'containerd.io/distribution.source.'

describe('sources of a blob', () => {
  it('are the registries of its labels, sorted, in their canonical form', () => {
    assert.deepEqual(
      sourcesOf({
        [`${prefix}registry.test`]: 'team/app,team/other',
        [`${prefix}registry-1.docker.io`]: 'library/app',
        [`${prefix}docker.io`]: 'library/app',
        [`${prefix}10.0.0.1`]: 'app',
        'containerd.io/gc.ref.content.0': 'sha256:…',
      }),
      ['10.0.0.1', 'docker.io', 'registry.test'],
    )
  })

  it('leave out what is no host, and are bounded', () => {
    assert.deepEqual(sourcesOf({ [prefix]: 'x', [`${prefix}a b`]: 'x', [`${prefix}../x`]: 'x' }), [])
    const many = Object.fromEntries(
      Array.from({ length: 1000 }, (_, index) => [`${prefix}r${index}.test`, 'x']),
    )
    assert.equal(sourcesOf(many).length, 64)
  })

  it('of two namespaces are joined', () => {
    assert.deepEqual(mergeSources(['b.test'], ['a.test', 'b.test']), ['a.test', 'b.test'])
    assert.deepEqual(mergeSources([], ['a.test']), ['a.test'])
    assert.deepEqual(mergeSources(['a.test'], []), ['a.test'])
  })
})
