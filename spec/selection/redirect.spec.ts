import assert from 'node:assert/strict'
import { test } from 'node:test'
import { chooseRedirect, type RedirectQuestion, type RedirectVerdict } from '../../lib/selection/redirect.ts'

const good = { complete: true, heardAgoMs: 300, address: '192.0.2.7' }
const asked: RedirectQuestion = {
  mode: 'redirect',
  userAgent: 'containerd/2.3.4',
  ranged: false,
  sizeBytes: undefined,
  holders: [good],
}
const sent = { holder: 0, address: '192.0.2.7' }
const large = 64 * 2 ** 20

const table: readonly (readonly [string, Partial<RedirectQuestion>, RedirectVerdict])[] = [
  ['a whole blob that a node heard a moment ago holds', {}, sent],
  ['any request in the mode proxy', { mode: 'proxy' }, { proxied: 'mode' }],
  ['a range, as after a redirect that broke', { ranged: true }, { proxied: 'ranged' }],
  ['containerd 2.1', { userAgent: 'containerd/v2.1.0' }, sent],
  ['containerd 2.1 of a distribution', { userAgent: 'containerd/2.1.4~ds1' }, sent],
  ['containerd 3.0', { userAgent: 'containerd/3.0.0-rc.1+unknown' }, sent],
  ['containerd 2.0', { userAgent: 'containerd/2.0.5' }, { proxied: 'client' }],
  ['containerd 1.7', { userAgent: 'containerd/1.7.28' }, { proxied: 'client' }],
  ['another client', { userAgent: 'skopeo/1.18.0' }, { proxied: 'client' }],
  ['a client that names another one', { userAgent: 'x containerd/2.3.4' }, { proxied: 'client' }],
  ['a client that says nothing', { userAgent: undefined }, { proxied: 'client' }],
  ['a large blob in the mode auto', { mode: 'auto', sizeBytes: large }, sent],
  ['a small blob in the mode auto', { mode: 'auto', sizeBytes: 2 ** 20 }, { proxied: 'size' }],
  ['a blob of unknown size in the mode auto', { mode: 'auto' }, { proxied: 'size' }],
  ['nobody', { holders: [] }, { proxied: 'holders' }],
  ['a holder of a part', { holders: [{ ...good, complete: false }] }, { proxied: 'holders' }],
  ['a silent holder', { holders: [{ ...good, heardAgoMs: 2001 }] }, { proxied: 'holders' }],
  ['a holder never heard', { holders: [{ ...good, heardAgoMs: undefined }] }, { proxied: 'holders' }],
  ['an unknown certificate', { holders: [{ ...good, address: undefined }] }, { proxied: 'holders' }],
  [
    'the second holder where the first is silent',
    {
      holders: [
        { ...good, heardAgoMs: 5000 },
        { ...good, address: '192.0.2.8' },
      ],
    },
    { holder: 1, address: '192.0.2.8' },
  ],
]

for (const [what, changes, verdict] of table) {
  const outcome = 'holder' in verdict ? 'is redirected' : `goes through this node: ${verdict.proxied}`
  test(`${what} ${outcome}`, () => {
    assert.deepEqual(chooseRedirect({ ...asked, ...changes }), verdict)
  })
}
