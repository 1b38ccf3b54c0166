import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type SharingChange, sharingChange } from '../../../lib/app/config/sharing-change.ts'
import { parseConfig } from '../../../lib/config/config-file.ts'

const before = 'registry: { listen: "0.0.0.0:6443" }'

const table: readonly (readonly [what: string, after: string, change: SharingChange])[] = [
  ['nothing', before, 'none'],
  ['the level of the log', `${before}\nlog: { level: debug }`, 'none'],
  ['bounds of transfers', `${before}\ntransfer: { upload: { rate: 5MiB/s } }`, 'tune'],
  ['the mode of transfers', `${before}\ntransfer: { mode: auto }`, 'tune'],
  ['the stall timeout', 'registry: { listen: "0.0.0.0:6443", stallTimeout: 1s }', 'tune'],
  ['another port', 'registry: { listen: "0.0.0.0:7443" }', 'registry'],
  ['more threads', 'registry: { listen: "0.0.0.0:6443", workers: 3 }', 'registry'],
  ['another address at the same port', 'registry: { listen: "127.0.0.1:6443" }', 'registry'],
  ['another port for the nodes', `${before}\np2p: { listen: "0.0.0.0:5002" }`, 'restart'],
]

for (const [what, after, change] of table) {
  test(`a change of ${what} asks for: ${change}`, () => {
    const parse = (text: string) => parseConfig(text, '/x/c.yaml', { hostname: 'h' })
    assert.equal(sharingChange(parse(before), parse(after)), change)
  })
}
