import assert from 'node:assert/strict'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { hostsOrder, orderOf } from '../../../lib/app/pull/hosts-order.ts'
import { tempFolder } from '../../support/temp-folder.ts'

const mirror = 'https://127.0.0.1:6443'

describe('whom containerd asks', () => {
  for (const [title, text, expected] of [
    [
      'the mirror, then an endpoint, then the registry',
      `server = "https://r.test"\n[host."${mirror}"]\n[host."https://e.test/v2"]\n`,
      { asksMirror: true, next: ['https://e.test/v2', 'https://r.test'] },
    ],
    [
      'the registry, where there is no server',
      `[host."${mirror}"]\n`,
      { asksMirror: true, next: ['https://r.test'] },
    ],
    [
      'nobody behind a mirror that is the server',
      `server = "${mirror}"\n[host]\n`,
      { asksMirror: true, next: [] },
    ],
    ['not the mirror', 'server = "https://r.test"\n', { asksMirror: false, next: ['https://r.test'] }],
    ['nobody, where the file is no TOML', '{{', { asksMirror: false, next: [] }],
  ] as const) {
    it(title, () => assert.deepEqual(orderOf(text, 'r.test', mirror), expected))
  }

  it('is read from the folder that containerd prefers', async () => {
    await using folder = await tempFolder('ho')
    const put = async (name: string, server: string) => {
      await mkdir(join(folder.path, name))
      await writeFile(join(folder.path, name, 'hosts.toml'), `server = "${server}"\n`)
    }
    const next = async (registry: string) => (await hostsOrder(folder.path, registry, mirror)).next
    assert.deepEqual(await next('docker.io'), ['https://registry-1.docker.io'])
    await put('_default', 'https://default.test')
    assert.deepEqual(await next('r.test:5000'), ['https://default.test'])
    await put('r.test:5000', 'https://plain.test')
    assert.deepEqual(await next('r.test:5000'), ['https://plain.test'])
    await put('r.test_5000_', 'https://shadow.test')
    assert.deepEqual(await next('r.test:5000'), ['https://shadow.test'])
  })
})
