import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { parse as parseToml } from 'smol-toml'
import {
  defaultServer,
  type HostsEntry,
  hostsFolder,
  mirrorUrl,
  ownerOf,
  renderHostsToml,
  shadowingFolder,
} from '../../lib/config/hosts-toml.ts'

/** Tables without their null prototype. */
const parse = (text: string) => structuredClone(parseToml(text))

const entry: HostsEntry = {
  registry: 'docker.io',
  mirrorUrl: 'https://127.0.0.1:6443',
  ca: '/t/server-ca.crt',
  clientCert: '/t/client.crt',
  clientKey: '/t/client.key',
}

describe('the text of hosts.toml', () => {
  it('puts the mirror first and the registry itself as server', () => {
    assert.deepEqual(parse(renderHostsToml(entry)), {
      server: 'https://registry-1.docker.io',
      host: {
        'https://127.0.0.1:6443': {
          capabilities: ['pull', 'resolve'],
          ca: '/t/server-ca.crt',
          client: [['/t/client.crt', '/t/client.key']],
        },
      },
    })
  })

  it('has no server for the registries that have no folder of their own', () => {
    assert.equal('server' in parse(renderHostsToml({ ...entry, registry: '*' })), false)
  })

  it('is read back by a TOML parser whatever the paths are', () => {
    const text = fc.string({ unit: 'binary' })
    fc.assert(
      fc.property(text, text, text, (ca, clientCert, clientKey) => {
        const read = parse(renderHostsToml({ ...entry, ca, clientCert, clientKey }))
        const host = (read.host as Record<string, object>)['https://127.0.0.1:6443']
        assert.deepEqual(host, { capabilities: ['pull', 'resolve'], ca, client: [[clientCert, clientKey]] })
      }),
    )
  })

  it('is known as ours until somebody changes a byte of it', () => {
    const text = renderHostsToml(entry)
    assert.equal(ownerOf(text), 'ours')
    assert.equal(ownerOf(`${text}\n# mine`), 'modified')
    assert.equal(ownerOf(text.replace('pull', 'push')), 'modified')
    assert.equal(ownerOf(text.replace(/^#.*\n/, '')), 'foreign')
    assert.equal(ownerOf(''), 'foreign')
  })
})

describe('where containerd looks', () => {
  for (const [registry, server, folder, shadow] of [
    ['docker.io', 'https://registry-1.docker.io', 'docker.io', undefined],
    ['quay.io', 'https://quay.io', 'quay.io', undefined],
    ['r.example.com:5000', 'https://r.example.com:5000', 'r.example.com:5000', 'r.example.com_5000_'],
    ['localhost:5000', 'http://localhost:5000', 'localhost:5000', 'localhost_5000_'],
    ['127.0.0.2:5000', 'http://127.0.0.2:5000', '127.0.0.2:5000', '127.0.0.2_5000_'],
    ['localhost:443', 'https://localhost:443', 'localhost:443', 'localhost_443_'],
    ['localhost', 'https://localhost', 'localhost', undefined],
    ['[2001:db8::1]:5000', 'https://[2001:db8::1]:5000', '[2001:db8::1]:5000', '[2001:db8::1]_5000_'],
    ['*', undefined, '_default', undefined],
  ] as const) {
    it(`${registry}: folder ${folder}, default ${server}`, () => {
      assert.equal(defaultServer(registry), server)
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
