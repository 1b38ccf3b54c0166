import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { barrels, importCycles, layerViolations, purityViolations } from './layers.ts'
import { blankText, importsOf } from './source-text.ts'
import { badNames, maxLines, textViolations, tooLong } from './text-rules.ts'

const file = (path: string, text: string) => ({ path, text })

describe('the architecture checker', () => {
  it('finds every form of import, and none in comments and strings', () => {
    const source = `
      import { a } from './a.ts'
      import type {
        B,
      } from "./b.ts"
      import './c.ts'
      export { d } from './d.ts'
      export * from './e.ts'
      const f = await import('./f.ts')
      const g = new Worker(new URL('./g.ts', import.meta.url))
      import h, * as i from 'node:fs'
      // import { no } from './no.ts'
      /* import './no.ts' */
      const text = 'import "./no.ts"'`
    const expected = ['./a.ts', './b.ts', './c.ts', './d.ts', './e.ts', './f.ts', './g.ts', 'node:fs']
    assert.deepEqual(importsOf(source).sort(), expected)
  })

  it('sees code in template literals and behind regular expressions with quotes', () => {
    const code = blankText(
      `const a = \`x \${b(\`\${Date.now()}\`)} "\` + /['"/]/.test(c) + Math.random() // Date.now`,
    )
    assert.match(code, /Date\.now\(\)/)
    assert.match(code, /Math\.random/)
    assert.doesNotMatch(code, /Date\.now$/)
  })

  for (const [from, to] of [
    ['lib/core/a.ts', '../membership/b.ts'],
    ['lib/membership/a.ts', '../catalog/b.ts'],
    ['lib/registry/a.ts', '../network/b.ts'],
    ['lib/trust/a.ts', '../app/b.ts'],
    ['lib/app/a.ts', '../cli/b.ts'],
    ['lib/app/a.ts', '../index.ts'],
    ['lib/app/a.ts', '../../spec/support/b.ts'],
    ['lib/index.ts', './cli/b.ts'],
    ['lib/stray/a.ts', '../core/b.ts'],
  ] as const) {
    it(`refuses that ${from} imports ${to}`, () => {
      assert.equal(layerViolations([file(from, `import { x } from '${to}'`)]).length, 1)
    })
  }

  it('allows what points down', () => {
    const files = [
      file('lib/registry/a.ts', "import { x } from '../core/b.ts'\nimport { y } from '../selection/c.ts'"),
      file('lib/app/a.ts', "import { x } from '../registry/a.ts'\nimport { y } from './c.ts'"),
      file('bin/starling.ts', "import { x } from '../lib/cli/main.ts'"),
    ]
    assert.deepEqual(layerViolations(files), [])
  })

  it('finds cycles, also of types and through several files', () => {
    const files = [
      file('lib/core/a.ts', "import { b } from './b.ts'"),
      file('lib/core/b.ts', "import type { C } from './c.ts'"),
      file('lib/core/c.ts', "import { a } from './a.ts'"),
    ]
    assert.equal(importCycles(files).length, 1)
    assert.deepEqual(importCycles(files.slice(0, 2)), [])
  })

  for (const bad of [
    "import { readFileSync } from 'node:fs'",
    "import { createLibp2p } from 'libp2p'",
    'const now = Date.now()',
    'const now = new Date()',
    'const now = performance.now()',
    'const chance = Math.random()',
    "import { randomBytes } from 'node:crypto'",
    'setTimeout(() => {}, 1)',
    'const home = process.env.HOME',
    "console.log('x')",
    "posix.resolve('x')",
    `const text = \`\${process.pid}\``,
  ]) {
    it(`refuses in a pure folder: ${bad}`, () => {
      assert.equal(purityViolations([file('lib/catalog/a.ts', bad)]).length, 1)
      assert.deepEqual(purityViolations([file('lib/network/a.ts', bad)]), [])
    })
  }

  it('allows computations, strings and comments in a pure folder', () => {
    const text = "import { hash } from 'node:crypto'\n// Date.now() is not used\nconst text = 'process.env'"
    assert.deepEqual(purityViolations([file('lib/catalog/a.ts', text)]), [])
  })

  it('finds barrels, and no others', () => {
    const files = [
      file('lib/core/a.ts', "// all\nexport { b } from './b.ts'\nexport type { C } from './c.ts'\n"),
      file('lib/core/b.ts', "export * from './b.ts'\nexport const x = 1\n"),
      file('lib/core/c.ts', "import { b } from './b.ts'\nexport const x = b\n"),
      file('lib/index.ts', "export { b } from './core/b.ts'\n"),
    ]
    assert.deepEqual(barrels(files), ['lib/core/a.ts', 'lib/core/b.ts'])
  })

  it('finds long files, bad names and bad text', () => {
    assert.equal(
      tooLong([file('a.ts', 'x\n'.repeat(maxLines + 1)), file('b.ts', 'x\n'.repeat(maxLines))]).length,
      1,
    )
    assert.deepEqual(badNames(['lib/core/byte-range.ts', 'lib/core/byteRange.ts', 'lib/a_b/c.spec.ts']), [
      'lib/core/byteRange.ts',
      'lib/a_b/c.spec.ts',
    ])
    const bad = [`// ${'TO'}DO: later`, `const x = '/${'home'}/me/x'`, `/${'work'}/x`]
    assert.equal(textViolations(bad.map((text) => file('a.ts', text))).length, bad.length)
    assert.deepEqual(textViolations([file('a.ts', 'methodology of homework/tests')]), [])
  })
})
