import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { parseRegistries } from '../../lib/config/registries-file.ts'
import { StarlingError } from '../../lib/core/errors.ts'

const parse = (text: string) => parseRegistries(text, 'r.yaml')
const warningsOf = (text: string) => parse(text).warnings.map((warning) => warning.format())

describe('registries.yaml', () => {
  it('mirrors the keys of mirrors, also those without a value', () => {
    const { mirrors, entries, warnings } = parse(
      'mirrors:\n  registry.example.com:5000:\n  docker.io:\n    endpoint: ["https://m.example.com"]\n    rewrite: {"^(.*)$": "p/$1"}\n',
    )
    assert.deepEqual(mirrors, { names: ['docker.io', 'registry.example.com:5000'], wildcard: false })
    assert.deepEqual(warnings, [])
    const entry = entries[1]
    assert.equal(entry?.registry, 'docker.io')
    assert.deepEqual(
      entry?.endpoints.map(({ url }) => url),
      ['https://m.example.com/v2'],
    )
    assert.deepEqual(entry?.rewrites, [
      { pattern: '^(.*)$', replacement: 'p/$1', place: { line: 5, column: 15 } },
    ])
    assert.deepEqual(entry?.place, { line: 3, column: 3 })
  })

  it('mirrors everything with "*"', () => {
    assert.deepEqual(parse('mirrors:\n  "*":\n  quay.io:\n').mirrors, { names: ['quay.io'], wildcard: true })
  })

  for (const text of ['', '# nothing\n', '{}', 'mirrors:\n', 'mirrors: {}\n', 'configs: {}\n']) {
    it(`mirrors nothing when it is ${JSON.stringify(text)}`, () => {
      const { mirrors, warnings } = parse(text)
      assert.deepEqual({ mirrors, warnings }, { mirrors: { names: [], wildcard: false }, warnings: [] })
    })
  }

  it('takes the other names of Docker Hub and capitals for what they mean', () => {
    assert.deepEqual(parse('mirrors: {index.docker.io: , Quay.IO: }\n').mirrors.names, [
      'docker.io',
      'quay.io',
    ])
  })

  it('warns of keys that it does not know and goes on', () => {
    const text =
      'mirors: {}\nmirrors:\n  quay.io:\n    endpoints: []\nconfigs:\n  quay.io: {tls: {ca_fil: /x}}\n'
    assert.deepEqual(warningsOf(text), [
      'r.yaml:1:1: unknown key "mirors"; did you mean mirrors?',
      'r.yaml:4:5: unknown key "endpoints" in mirrors."quay.io"; did you mean endpoint?',
      'r.yaml:6:19: unknown key "ca_fil" in configs."quay.io".tls; did you mean ca_file?',
    ])
    assert.deepEqual(parse(text).mirrors.names, ['quay.io'])
  })

  it('warns of what is no registry host, and passes it over', () => {
    assert.deepEqual(warningsOf('mirrors:\n  "https://docker.io/v2": {}\n  "a b": {}\n'), [
      'r.yaml:2:3: "https://docker.io/v2" is not a registry host and is passed over; write docker.io, without scheme and path',
      'r.yaml:3:3: "a b" is not a registry host and is passed over; write a host with or without a port, such as registry.example.com:5000',
    ])
    assert.deepEqual(parse('mirrors:\n  "a b": {}\n').mirrors.names, [])
  })

  it('warns of two keys for one registry and keeps the first', () => {
    const { entries, warnings } = parse(
      'mirrors:\n  docker.io: {endpoint: [a]}\n  index.docker.io: {endpoint: [b]}\n',
    )
    assert.deepEqual(
      entries.map((entry) => entry.endpoints.map(({ host }) => host)),
      [['a']],
    )
    assert.match(
      warnings[0]?.format() ?? '',
      /^r\.yaml:3:3: "index\.docker\.io" means docker\.io, which is here already/,
    )
  })

  for (const host of ['localhost', 'localhost:5000', '127.0.0.1:5000', '"[::1]:5000"']) {
    it(`does not share ${host} and warns`, () => {
      const text = `mirrors:\n  ${host}: {}\n`
      assert.deepEqual(parse(text).mirrors.names, [])
      assert.match(warningsOf(text)[0] ?? '', /^r\.yaml:2:3: .* is not shared; on every other machine/)
    })
  }

  const bad: readonly (readonly [text: string, ...lines: string[]])[] = [
    [
      'mirrors:\n  *:\n',
      'r.yaml:2:3: * is not quoted; write "*": in quotes, a bare * begins an alias in YAML',
    ],
    ['mirrors:\n  *:\n    endpoint: []\n', 'r.yaml:2:3: * is not quoted;'],
    ['mirrors:\n  docker.io:\n  *: {}\n', 'r.yaml:3:3: * is not quoted;'],
    ['mirrors: {*: {}}\n', 'r.yaml:1:11: * is not quoted;'],
    ['mirrors: [docker.io]\n', 'r.yaml:1:10: mirrors must be a mapping of keys and values'],
    ['mirrors:\n  docker.io: https://m\n', 'r.yaml:2:14: mirrors."docker.io" must be a mapping of keys'],
    [
      'mirrors:\n  docker.io:\n    endpoint: https://m\n',
      'r.yaml:3:15: mirrors."docker.io".endpoint must be a list',
    ],
    [
      'mirrors:\n  a.b:\n    endpoint: [1]\n',
      'r.yaml:3:16: mirrors."a.b".endpoint[0] must be text, not 1; put it in quotes',
    ],
    [
      'configs:\n  a.b: {auth: {password: 123}}\n',
      'r.yaml:2:26: configs."a.b".auth.password must be text, not 123; put it in',
    ],
    [
      'configs:\n  a.b: {tls: {insecure_skip_verify: "yes"}, auth: x}\n',
      'r.yaml:2:37: configs."a.b".tls.insecure_skip_verify must be true or false',
      'r.yaml:2:51: configs."a.b".auth must be a mapping',
    ],
    ['mirrors:\n  a.b:\n  a.b:\n', 'r.yaml:3:3: the key "a.b" is here twice; remove one of them'],
  ]
  for (const [text, ...lines] of bad) {
    it(`refuses ${JSON.stringify(text)}`, () => {
      assert.throws(
        () => parse(text),
        (error) => {
          assert(error instanceof StarlingError && error.code === 'REGISTRIES_INVALID', String(error))
          const got = error.format().split('\n')
          assert.equal(got.length, lines.length, got.join('\n'))
          for (const [index, line] of lines.entries())
            assert(got[index]?.startsWith(line), `got ${got[index]}`)
          return true
        },
      )
    })
  }

  it('never shows a password in an error', () => {
    assert.throws(
      () => parse('configs:\n  a.b: {auth: {password: [hunter2], usrname: hunter2}}\n'),
      (error) => error instanceof StarlingError && !error.format().includes('hunter2'),
    )
  })
})
