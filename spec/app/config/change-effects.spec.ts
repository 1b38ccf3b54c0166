import assert from 'node:assert/strict'
import { test } from 'node:test'
import { waitingKeys } from '../../../lib/app/config/change-effects.ts'
import { parseConfig } from '../../../lib/config/config-file.ts'

const table: readonly (readonly [what: string, before: string, after: string, waiting: readonly string[]])[] =
  [
    ['nothing', 'log: {level: info}', 'log: {level: info}', []],
    ['the level of the log', 'log: {level: info}', 'log: {level: debug}', ['log']],
    ['names of metrics', '{}', 'metrics: {spegelNames: false}', ['metrics']],
    ['the images folder and the store', '{}', 'images: {dir: /i}\nstore: {type: oci-layout, path: /s}', []],
    [
      'where a server listens',
      'supervisor: {listen: "127.0.0.1:9345"}',
      'supervisor: {listen: "127.0.0.1:9346"}',
      ['supervisor'],
    ],
    [
      'what a server issues',
      'supervisor: {certificateLifetime: 30d}',
      'supervisor: {certificateLifetime: 31d}',
      [],
    ],
  ]

for (const [what, before, after, waiting] of table) {
  test(`a change of ${what} leaves for the next start: ${waiting.join(', ') || 'nothing'}`, () => {
    const parse = (text: string) => parseConfig(text, '/x/c.yaml', { hostname: 'h', role: 'server' })
    assert.deepEqual(waitingKeys(parse(before), parse(after)), waiting)
  })
}
