import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { parseConfig } from '../../lib/config/config-file.ts'
import { StarlingError } from '../../lib/core/errors.ts'

const options = { hostname: 'host-1' }

function linesOf(content: string | Uint8Array): string[] {
  try {
    parseConfig(content, 'c.yaml', options)
  } catch (error) {
    assert(error instanceof StarlingError, String(error))
    assert.equal(error.code, 'CONFIG_INVALID')
    return error.format().split('\n')
  }
  return []
}

/** Each text with the whole lines, or their beginnings, that a user sees. */
const bad: readonly (readonly [what: string, content: string | Uint8Array, ...lines: string[]])[] = [
  ['a rate that would count as a stall', 'transfer:\n  upload: { rate: 10KiB/s }\n', 'c.yaml:2:19: '],
  ['a rate without a time', 'transfer: { download: { ratePerPeer: 10MiB } }\n', 'c.yaml:1:38: '],
  [
    'the stall timeout under both of its names',
    'registry: { stallTimeout: 1s }\ntransfer: { stallTimeout: 1s }\n',
    'c.yaml:2:27: transfer.stallTimeout is another name of registry.stallTimeout; remove one of them',
  ],
  ['an empty file', '', 'c.yaml:1:1: the file is empty; write {} to use the defaults'],
  ['only comments', '# nothing\n', 'c.yaml:1:1: the file is empty'],
  ['only a byte order mark', '\ufeff', 'c.yaml:1:1: the file is empty'],
  ['a list', '- a\n', 'c.yaml:1:1: the file must be a mapping of keys and values, not a list'],
  ['a word', 'x\n', 'c.yaml:1:1: the file must be a mapping of keys and values, not the text "x"'],
  ['a second document', 'log: {}\n---\nlog: {}\n', 'c.yaml:2:1: a second YAML document begins; remove'],
  [
    'a duplicate key',
    'node:\n  name: a\n  name: b\n',
    'c.yaml:3:3: the key "name" is here twice; remove one',
  ],
  [
    'a tab as indentation',
    'node:\n\tname: a\n',
    'c.yaml:2:1: the line is indented with a tab; YAML takes only',
  ],
  [
    'bad indentation',
    'node:\n  name: a\n   zone: b\n',
    'c.yaml:2:9: a mapping begins inside a value; put a value',
  ],
  ['a bracket that is not closed', 'bootstrap: [a,\nlog: {}\n', 'c.yaml:2:1: '],
  ['an unknown alias', 'dataDir: *x\n', 'c.yaml:1:10: there is no anchor &x for *x; put the value in quotes'],
  ['an anchor inside itself', 'bootstrap: &a [*a]\n', 'c.yaml:1:15: values are nested more than 32 deep'],
  ['an anchor that is set twice', 'node: &a {}\nlog: &a {}\n', 'c.yaml:1:10: an anchor (&name) is set twice'],
  [
    'a tag',
    'dataDir: !!binary aGk=\n',
    'c.yaml:1:19: the YAML tag tag:yaml.org,2002:binary is not known here',
  ],
  ['a key that is a list', '? [1]\n: 2\n', 'c.yaml:1:3: a key must be a plain name; put it in quotes'],
  ['a NUL', 'dataDir: /a\0b\n', 'c.yaml:1:12: the file holds the control character U+0000; remove it'],
  [
    'a lone carriage return',
    'log: {}\rnode: {}\n',
    'c.yaml:1:8: the file holds a carriage return without a line',
  ],
  ['UTF-16', Buffer.from('\ufefflog: {}', 'utf16le'), 'c.yaml:1:1: the file is UTF-16; save it as UTF-8'],
  [
    'Latin-1',
    Buffer.from('# ok\ndataDir: /\xe9', 'latin1'),
    'c.yaml:2:11: the file is not UTF-8; save it as UTF-8',
  ],
  ['Latin-1 after a mark', Buffer.from('\xef\xbb\xbf# \xe9', 'latin1'), 'c.yaml:1:3: the file is not UTF-8'],
  [
    'more than 1 MiB',
    `#${'x'.repeat(1024 * 1024)}`,
    'c.yaml: the file is larger than 1 MiB; is it the right file?',
  ],
  [
    'an unknown key',
    'registry:\n  stalTimeout: 3s\n',
    'c.yaml:2:3: unknown key "stalTimeout" in registry; did you mean stallTimeout?',
  ],
  [
    'an unknown key in other case',
    'datadir: /x\n',
    'c.yaml:1:1: unknown key "datadir"; did you mean dataDir?',
  ],
  [
    'an unknown key like no other',
    'log:\n  colour: red\n',
    'c.yaml:2:3: unknown key "colour" in log; known keys are level',
  ],
  ['a key that is called __proto__', '__proto__: {}\n', 'c.yaml:1:1: unknown key "__proto__"; '],
  [
    'an empty value',
    'dataDir:\n',
    'c.yaml:1:1: dataDir is empty; give it a value, for example dataDir: /var/lib/',
  ],
  ['an empty section', 'node:\n', 'c.yaml:1:1: node is empty; give it keys or remove it'],
  [
    'a duration without unit',
    'auditInterval: 5\n',
    'c.yaml:1:16: auditInterval must be a duration with a unit such as 500ms, 30s or 5m, not 5; for example auditInterval: 5m',
  ],
  [
    'a duration of words',
    'shutdownGrace: soon\n',
    'c.yaml:1:16: shutdownGrace must be a duration with a unit',
  ],
  [
    'too short',
    'registry: {stallTimeout: 1ms}\n',
    'c.yaml:1:26: registry.stallTimeout must be at least 100ms, not 1ms',
  ],
  ['too long', 'shutdownGrace: 2h\n', 'c.yaml:1:16: shutdownGrace must be at most 1h, not 2h; for example'],
  [
    'text for a number',
    'registry:\n  workers: two\n',
    'c.yaml:2:12: registry.workers must be a whole number, not the text "two"',
  ],
  [
    'a fraction',
    'registry:\n  workers: 1.5\n',
    'c.yaml:2:12: registry.workers must be a whole number, not 1.5',
  ],
  ['too few', 'registry:\n  workers: 0\n', 'c.yaml:2:12: registry.workers must be at least 1, not 0'],
  ['yes', 'p2p:\n  udp: yes\n', 'c.yaml:2:8: p2p.udp must be true or false, not the text "yes"'],
  [
    'a name to listen on',
    'p2p: {listen: "localhost:5001"}\n',
    'c.yaml:1:15: p2p.listen must be an IP address with a port',
  ],
  [
    'a port alone',
    'registry: {listen: [":6443"]}\n',
    'c.yaml:1:21: registry.listen[0] must be an IP address with a port such as 0.0.0.0:6443 or [::]:6443, not ":6443": the address is missing, write 0.0.0.0:6443 or [::]:6443; for example - 0.0.0.0:6443',
  ],
  [
    'an address alone',
    'ops: {listen: 127.0.0.1}\n',
    'c.yaml:1:15: ops.listen must be an IP address with a port',
  ],
  [
    'a port above 65535',
    'p2p: {listen: "0.0.0.0:70000"}\n',
    'c.yaml:1:15: p2p.listen must be an IP address with a port',
  ],
  ['no address', 'registry: {listen: []}\n', 'c.yaml:1:20: registry.listen must not be an empty list'],
  [
    'a wildcard advertised',
    'p2p: {advertise: 0.0.0.0}\n',
    'c.yaml:1:18: p2p.advertise must be an IP address',
  ],
  [
    'a URL to bootstrap',
    'bootstrap: ["http://a"]\n',
    'c.yaml:1:13: bootstrap[0] must be a host with or without a port',
  ],
  ['a mistyped address', 'bootstrap: [1.2.3.400]\n', 'c.yaml:1:13: bootstrap[0] must be a host'],
  ['a host twice', 'bootstrap: [a, b, a]\n', 'c.yaml:1:19: bootstrap lists "a" twice; remove one of them'],
  ['a bad name', 'node: {name: "a b"}\n', 'c.yaml:1:14: node.name must be a name of letters, digits'],
  ['a long name', `node: {name: ${'a'.repeat(65)}}\n`, 'c.yaml:1:14: node.name must be a name'],
  [
    'an unknown level',
    'log: {level: warning}\n',
    'c.yaml:1:14: log.level must be debug, info, warn or error, not "warning"; did you mean warn?',
  ],
  [
    'a store without type',
    'store: {path: /x}\n',
    'c.yaml:1:1: store needs the key type; add type: containerd or oci-layout',
  ],
  [
    'a store of another kind',
    'store: {type: docker}\n',
    'c.yaml:1:15: store.type must be containerd or oci-layout, not "docker"',
  ],
  [
    'a layout without path',
    'store: {type: oci-layout}\n',
    'c.yaml:1:1: store needs the key path; add path: …',
  ],
  [
    'a key of the other store',
    'store: {type: containerd, path: /x}\n',
    'c.yaml:1:27: unknown key "path" in store; known keys are type',
  ],
  [
    'a socket as URL',
    'store: {type: containerd, socket: "unix:///run/c.sock"}\n',
    'c.yaml:1:35: store.socket must be a path, not "unix:///run/c.sock": write it without a scheme',
  ],
  ['a long part of a path', `dataDir: /${'a'.repeat(256)}\n`, 'c.yaml:1:10: dataDir must be a path, not'],
  ['a long path', `dataDir: ${'/a'.repeat(2100)}\n`, 'c.yaml:1:10: dataDir must be a path, not'],
  [
    'a long socket',
    `ops: {socket: ${'/a'.repeat(60)}}\n`,
    'c.yaml:1:15: ops.socket is longer than 107 bytes',
  ],
  [
    'the same port twice',
    'registry: {listen: "0.0.0.0:5001"}\n',
    'c.yaml:1:20: registry.listen and p2p.listen both take 0.0.0.0:5001; give one of them another port',
  ],
  [
    'a broken pattern',
    'excludeReferences: ["("]\n',
    'c.yaml:1:21: excludeReferences[0] must be a regular expression that is quick to match, not "(": it is not a valid',
  ],
  [
    'a catastrophic pattern',
    'excludeReferences: ["(a+)+$"]\n',
    'c.yaml:1:21: excludeReferences[0] must be a regular expression that is quick to match, not "(a+)+$": a group must not be repeated',
  ],
  [
    'many errors, in order',
    'nod: {}\nlog:\n  level: loud\nregistry:\n  workers: 0\n  colour: 1\n',
    'c.yaml:1:1: unknown key "nod"; did you mean node?',
    'c.yaml:3:10: log.level must be',
    'c.yaml:5:12: registry.workers must be at least 1',
    'c.yaml:6:3: unknown key "colour" in registry',
  ],
]

describe('a configuration file that cannot be used', () => {
  for (const [what, content, ...lines] of bad) {
    it(`${what}: says so in ${lines.length === 1 ? 'one line' : 'a line for each'} with the place`, () => {
      const got = linesOf(content)
      assert.equal(got.length, lines.length, got.join('\n'))
      for (const [index, line] of lines.entries()) {
        assert(got[index]?.startsWith(line), `expected ${line}\nbut got  ${got[index]}`)
      }
    })
  }

  it('shows at most twenty errors and how many more there are', () => {
    const text = Array.from({ length: 50 }, (_, index) => `key${index}: 1`).join('\n')
    const lines = linesOf(text)
    assert.equal(lines.length, 21)
    assert.equal(lines.at(-1), 'c.yaml: 30 more errors not shown')
  })

  it('is refused in a bounded time when aliases multiply its values', () => {
    const lines = ['a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1]']
    for (let level = 1; level < 12; level += 1) {
      lines.push(
        `a${level}: &a${level} [${Array(8)
          .fill(`*a${level - 1}`)
          .join(', ')}]`,
      )
    }
    const started = performance.now()
    assert.match(linesOf(lines.join('\n'))[0] ?? '', /too many values: aliases \(\*name\) multiply them/)
    assert(performance.now() - started < 5000)
  })

  for (const [what, text] of [
    ['brackets', '['.repeat(50_000)],
    ['list marks', '- '.repeat(50_000)],
    ['mapping marks', '? '.repeat(50_000)],
  ] as const) {
    it(`is refused in one line when ${what} are nested 50,000 deep`, () => {
      assert.equal(linesOf(text).length, 1)
    })
  }

  it('is refused in a bounded time when it has ten thousand keys', () => {
    const text = Array.from({ length: 10_000 }, (_, index) => `key${index}: 1`).join('\n')
    const started = performance.now()
    assert.equal(linesOf(text).length, 21)
    assert(performance.now() - started < 10_000)
  })

  it('names the host name where that cannot be the name of a node', () => {
    assert.throws(() => parseConfig('{}', 'c.yaml', { hostname: 'häß' }), {
      message: 'the host name "häß" cannot be the name of a node',
      hint: 'set node.name',
    })
  })
})

describe('a configuration file', () => {
  it('may leave everything out', () => {
    const config = parseConfig('{}', '/etc/starling/config.yaml', options)
    assert.equal(config.node.name, 'host-1')
    assert.deepEqual(config.registry.listen, [{ host: '0.0.0.0', port: 6443 }])
    assert.deepEqual(config.p2p.listen, [{ host: '0.0.0.0', port: 5001 }])
    assert.equal(config.trust.servingKey, '/etc/starling/trust/serving.key')
    assert.equal(config.shutdownGraceMs, 10_000)
    assert.deepEqual(config.store, {
      type: 'containerd',
      socket: '/run/containerd/containerd.sock',
      namespaces: ['k8s.io'],
      contentPath: undefined,
    })
  })

  it('may have a byte order mark, CRLF, comments and anchors', () => {
    const text = '\ufeff# hello\r\nregistry:\r\n  listen: &l ["127.0.0.1:1"]\r\nbootstrap: *l\r\n'
    const config = parseConfig(Buffer.from(text), 'c.yaml', options)
    assert.deepEqual(config.bootstrap, [{ host: '127.0.0.1', port: 1 }])
  })

  it('takes paths relative to its own folder', () => {
    const text =
      'dataDir: data\ntrust: {dir: ../trust, psk: my.psk}\nstore: {type: oci-layout, path: ./images}\n'
    const config = parseConfig(text, 'x.yaml', { hostname: 'h', folder: '/srv/node' })
    assert.equal(config.dataDir, '/srv/node/data')
    assert.equal(config.trust.serverCa, '/srv/trust/server-ca.crt')
    assert.equal(config.trust.psk, '/srv/node/my.psk')
    assert.deepEqual(config.store, { type: 'oci-layout', path: '/srv/node/images' })
  })

  it('fills in the ports of hosts and the written form of addresses', () => {
    const text =
      'bootstrap: ["[FE80:0::1]", node-1, "1.2.3.4:99"]\np2p: {listen: "[::0]:77", advertise: "2001:DB8::1"}\n'
    const config = parseConfig(text, 'c.yaml', options)
    assert.deepEqual(config.bootstrap, [
      { host: 'fe80::1', port: 5001 },
      { host: 'node-1', port: 5001 },
      { host: '1.2.3.4', port: 99 },
    ])
    assert.deepEqual(config.p2p.listen, [{ host: '::', port: 77 }])
    assert.deepEqual(config.p2p.advertise, [{ host: '2001:db8::1', port: 77 }])
  })

  it('is frozen to its depths', () => {
    const config = parseConfig('{}', 'c.yaml', options)
    assert(Object.isFrozen(config) && Object.isFrozen(config.registry.listen[0]))
  })
})
