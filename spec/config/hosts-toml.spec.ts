import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { parse as parseToml } from 'smol-toml'
import {
  beforeOf,
  hostsFolder,
  mirrorUrl,
  ownerOf,
  renderHostsToml,
  shadowingFolder,
} from '../../lib/config/hosts-toml.ts'
import type { RegistryHosts } from '../../lib/config/registry-hosts.ts'

/** Tables without their null prototype. */
const parse = (text: string) => structuredClone(parseToml(text))

const mirror = {
  url: 'https://127.0.0.1:6443',
  pullOnly: true,
  ca: '/t/server-ca.crt',
  client: ['/t/client.crt', '/t/client.key'] as const,
  dialTimeout: '1s',
}
const entry: RegistryHosts = {
  registry: 'docker.io',
  hosts: [mirror],
  server: { url: 'https://registry-1.docker.io', pullOnly: false },
  secret: false,
}

describe('the text of hosts.toml', () => {
  it('puts the mirror first and the registry itself as server', () => {
    assert.deepEqual(parse(renderHostsToml(entry, 'nothing')), {
      server: 'https://registry-1.docker.io',
      host: {
        'https://127.0.0.1:6443': {
          capabilities: ['pull', 'resolve'],
          ca: '/t/server-ca.crt',
          client: [['/t/client.crt', '/t/client.key']],
          dial_timeout: '1s',
        },
      },
    })
  })

  it('is read back by a TOML parser whatever the paths, passwords and patterns are', () => {
    const text = fc.string({ unit: 'binary' })
    fc.assert(
      fc.property(text, text, text, text, text, (ca, cert, key, authorization, pattern) => {
        const rewrites = [[pattern, key]] as const
        const host = { ...mirror, ca, client: [cert, key] as const, authorization, rewrites }
        const read = parse(renderHostsToml({ ...entry, hosts: [host], server: host }, 'file'))
        const expected = {
          capabilities: ['pull', 'resolve'],
          ca,
          client: [[cert, key]],
          dial_timeout: '1s',
          header: { Authorization: authorization },
          rewrite: { [pattern]: key },
        }
        assert.deepEqual(read, { server: mirror.url, ...expected, host: { [mirror.url]: expected } })
      }),
    )
  })

  it('is known as ours until somebody changes a byte of it, and says what was there before', () => {
    const text = renderHostsToml(entry, 'folder')
    assert.equal(ownerOf(text), 'ours')
    assert.equal(beforeOf(text), 'folder')
    assert.equal(ownerOf(`${text}\n# mine`), 'modified')
    assert.equal(ownerOf(text.replace('pull', 'push')), 'modified')
    assert.equal(ownerOf(text.replace(/^#.*\n/, '')), 'foreign')
    assert.equal(ownerOf(''), 'foreign')
  })
})

describe('where containerd looks', () => {
  for (const [registry, folder, shadow] of [
    ['docker.io', 'docker.io', undefined],
    ['quay.io', 'quay.io', undefined],
    ['r.example.com:5000', 'r.example.com:5000', 'r.example.com_5000_'],
    ['localhost:5000', 'localhost:5000', 'localhost_5000_'],
    ['127.0.0.2:5000', '127.0.0.2:5000', '127.0.0.2_5000_'],
    ['localhost:443', 'localhost:443', 'localhost_443_'],
    ['localhost', 'localhost', undefined],
    ['[2001:db8::1]:5000', '[2001:db8::1]:5000', '[2001:db8::1]_5000_'],
    ['*', '_default', undefined],
  ] as const) {
    it(`${registry}: folder ${folder}`, () => {
      assert.equal(hostsFolder(registry), folder)
      assert.equal(shadowingFolder(registry), shadow)
    })
  }

  for (const [listen, url] of [
    [['0.0.0.0', 6443], 'https://127.0.0.1:6443'],
    [['::', 7443], 'https://127.0.0.1:7443'],
    [['192.0.2.7', 6443], 'https://192.0.2.7:6443'],
    [['::1', 6443], 'https://[::1]:6443'],
    [['0.0.0.0', 0], undefined],
  ] as const) {
    it(`a mirror that listens on ${listen.join(' ')} is asked at ${url}`, () => {
      assert.equal(mirrorUrl([{ host: listen[0], port: listen[1] }]), url)
    })
  }

  it('a mirror that listens on several addresses is asked at the loopback one', () => {
    const listen = [
      { host: '192.0.2.7', port: 6443 },
      { host: '127.0.0.1', port: 6444 },
    ]
    assert.equal(mirrorUrl(listen), 'https://127.0.0.1:6444')
  })
})
