import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { globSync, readFileSync } from 'node:fs'
import { isBuiltin } from 'node:module'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { projectDir, readPackageFile } from '../support/project.ts'
import { barrels, importCycles, layerViolations, purityViolations, type SourceFile } from './layers.ts'
import { importsOf } from './source-text.ts'
import { badNames, maxMedianLines, medianLines, textViolations, tooLong } from './text-rules.ts'

const read = (path: string): SourceFile => ({ path, text: readFileSync(join(projectDir, path), 'utf8') })
const sources = globSync('{lib,bin,spec}/**/*.ts', { cwd: projectDir }).sort().map(read)
const product = sources.filter((file) => !file.path.startsWith('spec/'))

/** Tracked text files; in an unpacked archive, where there is no git, the sources. */
function trackedFiles(): SourceFile[] {
  try {
    return execFileSync('git', ['ls-files', '-z'], { cwd: projectDir, encoding: 'utf8', stdio: 'pipe' })
      .split('\0')
      .filter((path) => path !== '' && path !== 'package-lock.json')
      .map(read)
      .filter((file) => !file.text.includes('\0'))
  } catch {
    return sources
  }
}

describe('the architecture', () => {
  it('has sources in every layer', () => {
    for (const folder of ['core', 'membership', 'catalog', 'network', 'registry', 'app', 'cli']) {
      assert.ok(
        product.some((file) => file.path.startsWith(`lib/${folder}/`)),
        `lib/${folder} is empty`,
      )
    }
  })

  it('lets no folder import what stands above or beside it', () => {
    assert.deepEqual(layerViolations(product), [])
  })

  it('has no cycle of imports', () => {
    assert.deepEqual(importCycles(sources), [])
  })

  it('keeps I/O, clock, chance, timers, process and console out of the pure folders', () => {
    assert.deepEqual(purityViolations(product), [])
  })

  it('has no barrels inside lib', () => {
    assert.deepEqual(barrels(product), [])
  })

  it('shows lib/index.ts alone to others', () => {
    assert.deepEqual(readPackageFile().exports, { '.': './lib/index.ts' })
  })

  it('has no file over 350 lines, and half of them are under 120', () => {
    assert.deepEqual(tooLong(sources), [])
    assert.ok(medianLines(product) < maxMedianLines, `the median of lib is ${medianLines(product)} lines`)
  })

  it('names its files in kebab-case', () => {
    assert.deepEqual(badNames(sources.map((file) => file.path)), [])
  })

  it('leaves no work for later, no path of one machine and no private key in its text', () => {
    assert.deepEqual(textViolations(trackedFiles()), [])
  })

  it('declares every package that the product imports, and imports every package that it declares', () => {
    const declared = Object.keys(readPackageFile().dependencies as Record<string, string>).sort()
    const imported = new Set(
      product
        .flatMap((file) => importsOf(file.text))
        .filter((specifier) => !specifier.startsWith('.') && !isBuiltin(specifier))
        .map((specifier) => /^(?:@[^/]+\/)?[^/]+/.exec(specifier)?.[0] ?? specifier),
    )
    assert.deepEqual([...imported].sort(), declared)
  })
})
