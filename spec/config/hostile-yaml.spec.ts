import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { parseConfig } from '../../lib/config/config-file.ts'
import { parseRegistries } from '../../lib/config/registries-file.ts'
import { desiredHosts, hostsWarnings } from '../../lib/config/registry-hosts.ts'
import { StarlingError } from '../../lib/core/errors.ts'

const readers = {
  'registries.yaml': (content: string | Uint8Array) => void parseRegistries(content, 'f.yaml'),
  'config.yaml': (content: string | Uint8Array) => void parseConfig(content, 'f.yaml', { hostname: 'h' }),
}

/** Nine anchors, each ten times the one before. */
const bomb = (key: string) =>
  `${key}:\n  a: &a0 [x, x, x, x, x, x, x, x, x, x]\n${Array.from(
    { length: 8 },
    (_, index) => `  b${index}: &a${index + 1} [${`*a${index}, `.repeat(10)}]\n`,
  ).join('')}`

const bytes = (text: string, encoding: BufferEncoding = 'utf8') => Buffer.from(text, encoding)

/** Content, and how its one line begins. */
const bad: Readonly<Record<string, readonly [content: string | Uint8Array, line: RegExp]>> = {
  'an anchors bomb': [bomb('mirrors'), /^f\.yaml:\d+:\d+: the file holds too many values: aliases/],
  'an anchor in itself': ['mirrors: &m\n  a.io: *m\n', /^f\.yaml:\d+:\d+: /],
  'an alias of nothing': ['mirrors: *nothing\n', /^f\.yaml:1:10: there is no anchor &nothing/],
  'a key twice': ['mirrors:\n  a.io:\nmirrors:\n', /^f\.yaml:3:1: the key "mirrors" is here twice/],
  'a tab as indentation': ['mirrors:\n\ta.io:\n', /^f\.yaml:2:\d+: .*tab/],
  'a NUL': ['mirrors:\n  a\0.io:\n', /^f\.yaml:2:4: the file holds the control character U\+0000/],
  'a NUL at the end, as after a crash of the machine': [
    'mirrors:\n  a.io:\n\0\0\0\0',
    /^f\.yaml:3:1: the file holds the control character U\+0000/,
  ],
  'UTF-16': [bytes('\ufeffmirrors:\n', 'utf16le'), /^f\.yaml:1:1: the file is UTF-16/],
  'Latin-1': [bytes('mirrors: # \xe9\n', 'latin1'), /^f\.yaml:1:12: the file is not UTF-8/],
  'a truncated list': [
    'mirrors:\n  a.io:\n    endpoint: ["https://e"',
    /^f\.yaml:3:\d+: something is not closed/,
  ],
  'a truncated text': [
    'mirrors:\n  a.io:\n    endpoint: ["https://',
    /^f\.yaml:3:\d+: something is not closed/,
  ],
  'a key that is cut off': ['mirrors:\n  a.io:\n    endpo', /^f\.yaml:\d:\d+: /],
  'a second document': ['mirrors:\n---\nmirrors:\n', /^f\.yaml:2:1: a second YAML document/],
  'a tag': ['mirrors: !!js/function "x"\n', /^f\.yaml:1:\d+: the YAML tag/],
  'deep nesting': [`mirrors: ${'['.repeat(50_000)}`, /^f\.yaml(?::\d+:\d+)?: /],
  'a megabyte too much': ['#'.repeat(2 ** 20 + 1), /^f\.yaml: the file is larger than 1 MiB/],
  'a picture': [Buffer.from([0xff, 0xd8, 0xff, 0xe0, 0, 16, 74, 70, 73, 70, 0]), /^f\.yaml:1:1: /],
  'a bare carriage return': ['mirrors:\r  a.io:\n', /^f\.yaml:1:9: the file holds a carriage return/],
}

describe('YAML that must not be', () => {
  for (const [name, read] of Object.entries(readers)) {
    for (const [what, [content, line]] of Object.entries(bad)) {
      it(`${name}: ${what} is refused at once, in one line with its place`, () => {
        const startedMs = performance.now()
        assert.throws(
          () => read(content),
          (error) => {
            assert.ok(error instanceof StarlingError, String(error))
            const [first = '', ...more] = error.format().split('\n')
            assert.match(first, line)
            assert.deepEqual(more, [])
            assert.ok(first.length < 600)
            return true
          },
        )
        assert.ok(performance.now() - startedMs < 5000)
      })
    }
  }

  it('line ends of Windows and a byte order mark are read like others', () => {
    const text = '\ufeffmirrors:\r\n  docker.io:\r\n    endpoint:\r\n      - "https://e"\r\n'
    for (const content of [text, bytes(text)]) {
      const { entries, warnings } = parseRegistries(content, 'f.yaml')
      assert.deepEqual(
        entries[0]?.endpoints.map(({ url }) => url),
        ['https://e/v2'],
      )
      assert.deepEqual(warnings, [])
    }
    assert.equal(parseConfig('\ufeffshareLatest: true\r\n', 'f.yaml', { hostname: 'h' }).shareLatest, true)
  })

  it('many thousand registries are read in a moment', () => {
    const startedMs = performance.now()
    const text = `mirrors:\n${Array.from({ length: 30_000 }, (_, index) => `  r${index}.test: {}\n`).join('')}`
    assert.equal(parseRegistries(text, 'f.yaml').mirrors.names.length, 30_000)
    assert.ok(performance.now() - startedMs < 10_000)
  })
})

describe('regular expressions that must not be', () => {
  const rewrites: readonly (readonly [pattern: string, problem: string])[] = [
    ['(', 'it is not a valid regular expression'],
    ['[z-a]', 'it is not a valid regular expression'],
    ['a{2,1}', 'it is not a valid regular expression'],
    ['(?<=x)a', 'look-around is not known there'],
    ['(a)\\1', 'back-references are not known there'],
    ['x{1001}', 'it repeats more than 1000 times'],
  ]
  for (const [pattern, problem] of rewrites) {
    it(`the rewrite ${pattern} is left out with its place, and the rest goes on`, () => {
      const text = `mirrors:\n  a.io:\n    endpoint: [e]\n    rewrite:\n      '${pattern}': x\n      '^ok/(.*)$': y/$1\n`
      const plan = parseRegistries(text, 'f.yaml')
      assert.deepEqual(
        plan.warnings.map((warning) => warning.format().split(';')[0]),
        [`f.yaml:5:7: the rewrite ${JSON.stringify(pattern)} is left out: ${problem}`],
      )
      assert.deepEqual(
        plan.entries[0]?.rewrites.map((rewrite) => rewrite.pattern),
        ['^ok/(.*)$'],
      )
    })
  }

  it('a catastrophic rewrite is written and never run here', () => {
    const patterns = [
      '(a+)+$',
      '(a|aa)+$',
      '(.*a){20}',
      '((a*)*)*$',
      `${'(a?)'.repeat(200)}${'a'.repeat(200)}`,
    ]
    const name = `${'a'.repeat(200)}!`
    const startedMs = performance.now()
    for (const pattern of patterns) {
      const text = `mirrors:\n  a.io:\n    endpoint: ["e/${'a'.repeat(100)}"]\n    rewrite: {${JSON.stringify(pattern)}: ${JSON.stringify(name)}}\n`
      const plan = parseRegistries(text, 'f.yaml')
      const options = { mirror: undefined, disableDefaultEndpoint: false }
      assert.equal(desiredHosts(plan, options)[0]?.hosts[0]?.rewrites?.length, 1)
      assert.match(
        hostsWarnings(plan, options)[0]?.format() ?? '',
        /^f\.yaml:4:\d+: the rewrite .* works only with/,
      )
    }
    assert.ok(performance.now() - startedMs < 2000)
  })

  for (const pattern of ['(a+)+$', '(a|a)*b', '.*.*.*.*x', '(?=a)b', '(a)\\1', '(']) {
    it(`excludeReferences refuses ${pattern} with its place`, () => {
      const text = `shareLatest: true\nexcludeReferences: [":ok$", ${JSON.stringify(pattern)}]\n`
      assert.throws(
        () => parseConfig(text, 'f.yaml', { hostname: 'h' }),
        (error) => error instanceof StarlingError && /^f\.yaml:2:29: [^\n]*$/.test(error.format()),
      )
    })
  }
})
