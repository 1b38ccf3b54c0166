import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { describe, it } from 'node:test'
import { errorCodes } from '../../lib/core/errors.ts'

const page = readFileSync(new URL('../../docs/errors.md', import.meta.url), 'utf8')
const rows = [...page.matchAll(/^\| `([A-Z_]+)` +\| (.+?) +\| (.+?) +\|$/gm)]

describe('the page of errors', () => {
  it('lists every code of the source, in its order, and no other', () => {
    assert.deepEqual(
      rows.map(([, code]) => code),
      Object.keys(errorCodes),
    )
  })

  it('begins each meaning as the source does', () => {
    for (const [, code = '', meaning = ''] of rows) {
      const expected = errorCodes[code as keyof typeof errorCodes]
      assert(meaning.startsWith(expected), `${code}: ${meaning} does not begin with ${expected}`)
    }
  })

  it('says for each what to do', () => {
    for (const [, code, , remedy = ''] of rows) assert(remedy.length > 10, `${code} has no remedy`)
  })
})
