import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { parseEndpointUrl } from '../../lib/config/endpoint-url.ts'
import { parseRegistries } from '../../lib/config/registries-file.ts'
import { desiredHosts } from '../../lib/config/registry-hosts.ts'
import { rewriteProblem } from '../../lib/config/rewrite.ts'

const mirror = { url: 'https://127.0.0.1:6443', ca: '/ca', clientCert: '/crt', clientKey: '/key' }
const M = mirror.url

/** `registry: hosts in order -> server`; `-` is no server. */
function planOf(text: string, shared: boolean, disableDefaultEndpoint: boolean): string[] {
  const options = { mirror: shared ? mirror : undefined, disableDefaultEndpoint }
  return desiredHosts(parseRegistries(text, 'r.yaml'), options).map(
    ({ registry, hosts, server }) =>
      `${registry}: ${[...hosts.map(({ url }) => url), '->', server?.url ?? '-'].join(' ')}`,
  )
}

const hub = 'https://registry-1.docker.io'
const withA = 'mirrors: {a.io: {endpoint: ["https://e"]}}'
const rows: readonly (readonly [text: string, shared: boolean, disabled: boolean, ...expected: string[]])[] =
  [
    ['mirrors: {a.io: }', true, false, `a.io: ${M} -> https://a.io`],
    ['mirrors: {a.io: }', true, true, `a.io: -> ${M}`],
    ['mirrors: {a.io: }', false, false],
    ['mirrors: {a.io: }', false, true],
    ['mirrors: {docker.io: }', true, false, `docker.io: ${M} -> ${hub}`],
    ['mirrors: {docker.io: {endpoint: [docker.io]}}', true, false, `docker.io: ${M} -> ${hub}/v2`],
    ['mirrors: {"*": }', true, false, `*: ${M} -> -`],
    ['mirrors: {"*": }', true, true, `*: -> ${M}`],
    ['mirrors: {"*": {endpoint: [e]}}', false, true, '*: -> https://e/v2'],
    [withA, true, false, `a.io: ${M} https://e/v2 -> https://a.io`],
    [withA, true, true, `a.io: ${M} -> https://e/v2`],
    [withA, false, false, 'a.io: https://e/v2 -> https://a.io'],
    [withA, false, true, 'a.io: -> https://e/v2'],
    ['mirrors: {a.io: {endpoint: [e, a.io]}}', false, false, 'a.io: https://e/v2 -> https://a.io/v2'],
    [
      'mirrors: {a.io: {endpoint: [a.io, e]}}',
      false,
      false,
      'a.io: https://a.io/v2 https://e/v2 -> https://a.io',
    ],
    ['mirrors: {a.io: {endpoint: [e, "https://e/"]}}', false, false, 'a.io: https://e/v2 -> https://a.io'],
    ['mirrors: {a.io: {endpoint: ["e:x", f]}}', false, false, 'a.io: https://f/v2 -> https://a.io'],
    ['mirrors: {localhost:5000: }', true, false],
    [
      'mirrors: {localhost:5000: {endpoint: [e]}}',
      true,
      false,
      'localhost:5000: https://e/v2 -> http://localhost:5000',
    ],
    ['mirrors: {a.io: }\nconfigs: {a.io: {tls: {ca_file: /x}}}', true, true, `a.io: ${M} -> https://a.io`],
    ['configs: {a.io: {tls: {ca_file: /x}}}', true, true, 'a.io: -> https://a.io'],
    ['configs: {a.io: {}}', true, false],
    [
      'mirrors: {"*": }\nconfigs: {a.io: {tls: {ca_file: /x}}}',
      true,
      false,
      `*: ${M} -> -`,
      `a.io: ${M} -> https://a.io`,
    ],
    [
      'mirrors: {a.io: {endpoint: [e], rewrite: {"^(.*)$": "p/q/$1"}}}',
      false,
      false,
      'a.io: https://e/v2/p/q -> https://a.io',
    ],
    [
      'mirrors: {a.io: {endpoint: [e], rewrite: {"^x/(.*)$": "p/$1"}}}',
      false,
      false,
      'a.io: https://e/v2 -> https://a.io',
    ],
  ]

describe('the plan of registries.yaml', () => {
  for (const [text, shared, disabled, ...expected] of rows) {
    it(`${text.replace('\n', ' ')}${shared ? ', shared' : ''}${disabled ? ', default disabled' : ''}`, () =>
      assert.deepEqual(planOf(text, shared, disabled), expected))
  }

  it('finds TLS and password by host with port, and never under a name without it', () => {
    const text =
      'mirrors: {a.io: {endpoint: ["e:5000", e]}}\nconfigs: {e: {auth: {username: u, password: p}}}'
    const [first] = desiredHosts(parseRegistries(text, 'r'), {
      mirror: undefined,
      disableDefaultEndpoint: false,
    })
    assert.deepEqual(
      first?.hosts.map(({ authorization }) => authorization),
      [undefined, 'Basic dTpw'],
    )
    assert.equal(first?.secret, true)
  })
})

describe('the URL of an endpoint', () => {
  for (const [text, url] of [
    ['e', 'https://e/v2'],
    ['e/', 'https://e/v2'],
    ['e/v2', 'https://e/v2'],
    ['e/v2/', 'https://e/v2/'],
    ['E.io:443/X?y=Z', 'https://E.io:443/X?y=Z'],
    ['http://u:p@e:80', 'http://u:p@e:80/v2'],
    ['localhost', 'https://localhost/v2'],
    ['localhost:443', 'https://localhost:443/v2'],
    ['localhost:5000', 'http://localhost:5000/v2'],
    ['127.1.2.3:5000', 'http://127.1.2.3:5000/v2'],
    ['[::1]:5000', 'http://[::1]:5000/v2'],
    ['https://localhost:5000', 'https://localhost:5000/v2'],
    ['docker.io', `${hub}/v2`],
  ] as const) {
    it(`${text} is ${url}`, () => {
      const parsed = parseEndpointUrl(text)
      assert.equal(typeof parsed === 'string' ? parsed : parsed.url, url)
    })
  }
  for (const text of [
    '',
    ' ',
    'e:x',
    'e:',
    'e:0',
    'e:65536',
    'https://',
    'e/%zz',
    'ftp://e',
    'a b',
    'https://[::1',
  ]) {
    it(`${JSON.stringify(text)} is refused with a reason`, () =>
      assert.equal(typeof parseEndpointUrl(text), 'string'))
  }
})

describe('a rewrite', () => {
  for (const [pattern, bad] of [
    ['^library/(.*)$', false],
    ['(?i)^x', false],
    ['(?P<n>a+)', false],
    ['(a+)+$', false],
    ['(', true],
    ['(?=a)', true],
    ['(a)\\1', true],
    ['a{9999}', true],
    ['x'.repeat(2000), true],
  ] as const) {
    it(`${pattern.slice(0, 20)} is ${bad ? 'refused' : 'read, and never run here'}`, () =>
      assert.equal(rewriteProblem({ pattern, replacement: '' }) !== undefined, bad))
  }
})
