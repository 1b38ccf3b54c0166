import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { parse as parseToml } from 'smol-toml'
import { renderHostsToml } from '../../lib/config/hosts-toml.ts'
import { parseRegistries } from '../../lib/config/registries-file.ts'
import { desiredHosts } from '../../lib/config/registry-hosts.ts'

/*
 * What a hosts.toml holds in full, by the rules of containerd ("Registry Configuration", docs/hosts.md) and of K3s
 * ("Private Registry Configuration"): each rule with and without the mirror of the node, and with the default endpoint
 * disabled. The list of hosts alone is the table of registry-hosts.spec.ts.
 */

const access = { url: 'https://127.0.0.1:6443', ca: '/ca', clientCert: '/crt', clientKey: '/key' }
const pull = { capabilities: ['pull', 'resolve'] }
const mirror = { ...pull, ca: '/ca', client: [['/crt', '/key']], dial_timeout: '1s' }
const hub = 'https://registry-1.docker.io'
const basic = (pair: string) => ({ header: { Authorization: `Basic ${btoa(pair)}` } })

type Files = Readonly<Record<string, object>>

/** The content of each file, by registry. */
function filesOf(text: string, shared: boolean, disableDefaultEndpoint: boolean): Files {
  const desired = desiredHosts(parseRegistries(text, 'r.yaml'), {
    mirror: shared ? access : undefined,
    disableDefaultEndpoint,
  })
  return Object.fromEntries(
    desired.map((hosts) => [hosts.registry, structuredClone(parseToml(renderHostsToml(hosts, 'nothing')))]),
  )
}

/** What is expected with the mirror, without it, and both again where the default endpoint is disabled. */
interface Row {
  readonly text: string
  readonly shared: Files
  readonly alone: Files
  readonly sharedOnly: Files
  readonly aloneOnly: Files
}

const M = { [access.url]: mirror }
const at = (url: string, more: object = {}) => ({ [url]: { ...pull, ...more } })
const top = (server: string, more: object = {}) => ({ server, ...pull, ...more })
const onlyMirror = { ...top(access.url), ...mirror, host: {} }

const tls = '{ca_file: /x, cert_file: /c, key_file: /k}'
const tlsKeys = { ca: '/x', client: [['/c', '/k']] }
const fallback = (files: Files): Pick<Row, 'sharedOnly' | 'aloneOnly'> => ({
  sharedOnly: files,
  aloneOnly: files,
})

const rows: Readonly<Record<string, Row>> = {
  'a key without a value': {
    text: 'mirrors: {a.io: }',
    shared: { 'a.io': { server: 'https://a.io', host: M } },
    alone: {},
    sharedOnly: { 'a.io': onlyMirror },
    aloneOnly: {},
  },
  'Docker Hub by another name': {
    text: 'mirrors: {index.docker.io: }',
    shared: { 'docker.io': { server: hub, host: M } },
    alone: {},
    sharedOnly: { 'docker.io': onlyMirror },
    aloneOnly: {},
  },
  'endpoints in their order': {
    text: 'mirrors: {a.io: {endpoint: [f, "http://e:80"]}}',
    shared: {
      'a.io': { server: 'https://a.io', host: { ...M, ...at('https://f/v2'), ...at('http://e:80/v2') } },
    },
    alone: { 'a.io': { server: 'https://a.io', host: { ...at('https://f/v2'), ...at('http://e:80/v2') } } },
    sharedOnly: { 'a.io': { ...top('http://e:80/v2'), host: { ...M, ...at('https://f/v2') } } },
    aloneOnly: { 'a.io': { ...top('http://e:80/v2'), host: at('https://f/v2') } },
  },
  'an endpoint with a path, a query and user info': {
    text: 'mirrors: {a.io: {endpoint: ["http://u:p@E:80/x/?y=Z"]}}',
    shared: {
      'a.io': {
        server: 'https://a.io',
        host: { ...M, ...at('http://u:p@E:80/x/?y=Z', { override_path: true }) },
      },
    },
    alone: {
      'a.io': { server: 'https://a.io', host: at('http://u:p@E:80/x/?y=Z', { override_path: true }) },
    },
    sharedOnly: { 'a.io': { ...top('http://u:p@E:80/x/?y=Z', { override_path: true }), host: M } },
    aloneOnly: { 'a.io': { ...top('http://u:p@E:80/x/?y=Z', { override_path: true }), host: {} } },
  },
  'an endpoint with TLS files and a password': {
    text: `mirrors: {a.io: {endpoint: ["e:5000"]}}\nconfigs: {"e:5000": {tls: ${tls}, auth: {username: u, password: p}}}`,
    shared: {
      'a.io': {
        server: 'https://a.io',
        host: { ...M, ...at('https://e:5000/v2', { ...tlsKeys, ...basic('u:p') }) },
      },
      'e:5000': { server: 'https://e:5000', ...tlsKeys, ...basic('u:p'), host: {} },
    },
    alone: {
      'a.io': { server: 'https://a.io', host: at('https://e:5000/v2', { ...tlsKeys, ...basic('u:p') }) },
      'e:5000': { server: 'https://e:5000', ...tlsKeys, ...basic('u:p'), host: {} },
    },
    sharedOnly: {
      'a.io': { ...top('https://e:5000/v2', { ...tlsKeys, ...basic('u:p') }), host: M },
      'e:5000': { server: 'https://e:5000', ...tlsKeys, ...basic('u:p'), host: {} },
    },
    aloneOnly: {
      'a.io': { ...top('https://e:5000/v2', { ...tlsKeys, ...basic('u:p') }), host: {} },
      'e:5000': { server: 'https://e:5000', ...tlsKeys, ...basic('u:p'), host: {} },
    },
  },
  'a prefix, also on the registry itself where it is the last endpoint': {
    text: 'mirrors: {a.io: {endpoint: [e, a.io], rewrite: {"^(.*)$": "p/$1"}}}',
    shared: {
      'a.io': {
        server: 'https://a.io/v2/p',
        override_path: true,
        host: { ...M, ...at('https://e/v2/p', { override_path: true }) },
      },
    },
    alone: {
      'a.io': {
        server: 'https://a.io/v2/p',
        override_path: true,
        host: at('https://e/v2/p', { override_path: true }),
      },
    },
    sharedOnly: {
      'a.io': {
        ...top('https://a.io/v2/p', { override_path: true }),
        host: { ...M, ...at('https://e/v2/p', { override_path: true }) },
      },
    },
    aloneOnly: {
      'a.io': {
        ...top('https://a.io/v2/p', { override_path: true }),
        host: at('https://e/v2/p', { override_path: true }),
      },
    },
  },
  'a rewrite that is no prefix, never on the mirror': {
    text: String.raw`mirrors: {a.io: {endpoint: [e], rewrite: {'^x\.("y")/(.*)$': 'z/$2'}}}`,
    shared: {
      'a.io': {
        server: 'https://a.io',
        host: { ...M, ...at('https://e/v2', { rewrite: { '^x\\.("y")/(.*)$': 'z/$2' } }) },
      },
    },
    alone: {
      'a.io': {
        server: 'https://a.io',
        host: at('https://e/v2', { rewrite: { '^x\\.("y")/(.*)$': 'z/$2' } }),
      },
    },
    sharedOnly: { 'a.io': { ...top('https://e/v2', { rewrite: { '^x\\.("y")/(.*)$': 'z/$2' } }), host: M } },
    aloneOnly: { 'a.io': { ...top('https://e/v2', { rewrite: { '^x\\.("y")/(.*)$': 'z/$2' } }), host: {} } },
  },
  'a registry with settings of its own keeps its default, with them': {
    text: `mirrors: {a.io: {endpoint: [e]}}\nconfigs: {a.io: {tls: ${tls}}}`,
    shared: { 'a.io': { server: 'https://a.io', ...tlsKeys, host: { ...M, ...at('https://e/v2') } } },
    alone: { 'a.io': { server: 'https://a.io', ...tlsKeys, host: at('https://e/v2') } },
    sharedOnly: { 'a.io': { server: 'https://a.io', ...tlsKeys, host: { ...M, ...at('https://e/v2') } } },
    aloneOnly: { 'a.io': { server: 'https://a.io', ...tlsKeys, host: at('https://e/v2') } },
  },
  'settings without a mirror': {
    text: 'configs: {a.io: {tls: {insecure_skip_verify: true}, auth: {auth: dTpw}}}',
    shared: { 'a.io': { server: 'https://a.io', skip_verify: true, ...basic('u:p'), host: {} } },
    alone: { 'a.io': { server: 'https://a.io', skip_verify: true, ...basic('u:p'), host: {} } },
    ...fallback({ 'a.io': { server: 'https://a.io', skip_verify: true, ...basic('u:p'), host: {} } }),
  },
  'Docker Hub: its settings are those of registry-1.docker.io before those of docker.io': {
    text: 'configs: {docker.io: {auth: {username: no, password: p}}, registry-1.docker.io: {tls: {ca_file: /x}}}',
    shared: { 'docker.io': { server: hub, ca: '/x', host: {} } },
    alone: { 'docker.io': { server: hub, ca: '/x', host: {} } },
    ...fallback({ 'docker.io': { server: hub, ca: '/x', host: {} } }),
  },
  'everything, with endpoints': {
    text: 'mirrors: {"*": {endpoint: [e, f]}}',
    shared: { '*': { host: { ...M, ...at('https://e/v2'), ...at('https://f/v2') } } },
    alone: { '*': { host: { ...at('https://e/v2'), ...at('https://f/v2') } } },
    sharedOnly: { '*': { ...top('https://f/v2'), host: { ...M, ...at('https://e/v2') } } },
    aloneOnly: { '*': { ...top('https://f/v2'), host: at('https://e/v2') } },
  },
  'everything, and a registry with settings, which gets the mirror in a file of its own': {
    text: 'mirrors: {"*": }\nconfigs: {a.io: {tls: {ca_file: /x}}}',
    shared: { '*': { host: M }, 'a.io': { server: 'https://a.io', ca: '/x', host: M } },
    alone: { 'a.io': { server: 'https://a.io', ca: '/x', host: {} } },
    sharedOnly: { '*': onlyMirror, 'a.io': { server: 'https://a.io', ca: '/x', host: M } },
    aloneOnly: { 'a.io': { server: 'https://a.io', ca: '/x', host: {} } },
  },
  'settings for everything are those of the registries themselves; a password is shown to none of them': {
    text: 'mirrors: {"*": }\nconfigs: {"*": {tls: {ca_file: /x}, auth: {username: u, password: p}}}',
    shared: { '*': { ca: '/x', host: M } },
    alone: { '*': { ca: '/x', host: {} } },
    sharedOnly: { '*': { ca: '/x', host: M } },
    aloneOnly: { '*': { ca: '/x', host: {} } },
  },
  'a localhost registry has its endpoints and is not shared': {
    text: 'mirrors: {"localhost:5000": {endpoint: [e]}, "127.0.0.1:5001": }',
    shared: { 'localhost:5000': { server: 'http://localhost:5000', host: at('https://e/v2') } },
    alone: { 'localhost:5000': { server: 'http://localhost:5000', host: at('https://e/v2') } },
    ...fallback({ 'localhost:5000': { ...top('https://e/v2'), host: {} } }),
  },
  'the mirror of this node among the endpoints, as K3s is told of it, is not asked twice': {
    text: 'mirrors: {a.io: {endpoint: ["https://127.0.0.1:6443", e]}, b.io: {endpoint: ["https://127.0.0.1:6443/v2"]}}',
    shared: {
      'a.io': { server: 'https://a.io', host: { ...M, ...at('https://e/v2') } },
      'b.io': { server: 'https://b.io', host: M },
    },
    alone: {
      'a.io': { server: 'https://a.io', host: { ...at('https://127.0.0.1:6443/v2'), ...at('https://e/v2') } },
      'b.io': { server: 'https://b.io', host: at('https://127.0.0.1:6443/v2') },
    },
    sharedOnly: { 'a.io': { ...top('https://e/v2'), host: M }, 'b.io': onlyMirror },
    aloneOnly: {
      'a.io': { ...top('https://e/v2'), host: at('https://127.0.0.1:6443/v2') },
      'b.io': { ...top('https://127.0.0.1:6443/v2'), host: {} },
    },
  },
  'names that JavaScript knows otherwise': {
    text: 'mirrors: {constructor: {endpoint: [toString], rewrite: {constructor: valueOf}}}',
    shared: {
      constructor: {
        server: 'https://constructor',
        host: { ...M, ...at('https://toString/v2', { rewrite: { constructor: 'valueOf' } }) },
      },
    },
    alone: {
      constructor: {
        server: 'https://constructor',
        host: at('https://toString/v2', { rewrite: { constructor: 'valueOf' } }),
      },
    },
    sharedOnly: {
      constructor: { ...top('https://toString/v2', { rewrite: { constructor: 'valueOf' } }), host: M },
    },
    aloneOnly: {
      constructor: { ...top('https://toString/v2', { rewrite: { constructor: 'valueOf' } }), host: {} },
    },
  },
}

describe('hosts.toml in full', () => {
  for (const [what, row] of Object.entries(rows)) {
    it(`${what}: shared`, () => assert.deepEqual(filesOf(row.text, true, false), row.shared))
    it(`${what}: not shared`, () => assert.deepEqual(filesOf(row.text, false, false), row.alone))
    it(`${what}: shared, default disabled`, () =>
      assert.deepEqual(filesOf(row.text, true, true), row.sharedOnly))
    it(`${what}: not shared, default disabled`, () =>
      assert.deepEqual(filesOf(row.text, false, true), row.aloneOnly))
  }

  it('has the hosts in their order, as containerd reads them', () => {
    const [file] = desiredHosts(parseRegistries('mirrors: {a.io: {endpoint: [z, b, y, a.io]}}', 'r'), {
      mirror: access,
      disableDefaultEndpoint: false,
    })
    assert.ok(file)
    const order = [...renderHostsToml(file, 'nothing').matchAll(/^\[host\."(.*)"\]$/gm)].map(([, url]) => url)
    assert.deepEqual(order, [access.url, 'https://z/v2', 'https://b/v2', 'https://y/v2'])
  })
})
