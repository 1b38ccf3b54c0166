import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import {
  configNames,
  knownContents,
  listsToRetry,
  planFolder,
  unaccounted,
} from '../../../lib/app/import/plan.ts'
import type { FileRecord } from '../../../lib/app/import/state-file.ts'
import type { Digest } from '../../../lib/core/digest.ts'

const digest = `sha256:${'ab'.repeat(32)}` as Digest

function record(changes: Partial<FileRecord> = {}): FileRecord {
  return { sizeBytes: 10, mtimeMs: 5000, sha256: 'x', images: [], problem: undefined, ...changes }
}

describe('the plan of the images folder', () => {
  const file = { name: 'a.tar', sizeBytes: 10, mtimeMs: 5000 }

  it('a file that is as it was needs nothing, also one that is broken', () => {
    for (const known of [record(), record({ problem: 'broken' })]) {
      const plan = planFolder([file], new Map([['a.tar', known]]), 100_000)
      assert.deepEqual(plan, { due: [], unsettled: false, gone: [] })
    }
  })

  it('a file that is new or has changed is due, once nobody has written to it for a second', () => {
    for (const state of [new Map(), new Map([['a.tar', record({ sizeBytes: 9 })]])]) {
      assert.deepEqual(planFolder([file], state, 5900), { due: [], unsettled: true, gone: [] })
      assert.deepEqual(planFolder([file], state, 6000).due, [file])
      assert.deepEqual(planFolder([file], state, 1000).due, [file], 'a time in the future')
    }
  })

  it('a file that is gone gives back the names that no other file accounts for', () => {
    const mine = { name: 'r.test:5000/a:1', digest }
    const shared = { name: 'r.test/b:1', digest }
    const gone = record({ images: [mine, shared] })
    const state = new Map([['b.tar', record({ images: [shared] })]])
    assert.deepEqual(planFolder([], new Map([['a.tar', gone]]), 0).gone, ['a.tar'])
    assert.deepEqual(unaccounted([gone], state), ['r.test:5000/a:1', `r.test:5000/a@${digest}`])
  })

  it('with the last name of an image goes the name that CRI gives it', () => {
    const other = `sha256:${'cd'.repeat(32)}` as Digest
    const config = `sha256:${'ef'.repeat(32)}`
    const gone = record({
      images: [
        { name: 'r.test/a:1', digest },
        { name: 'r.test/b:1', digest: other },
      ],
    })
    const stored = [
      { name: 'r.test/a:1', target: digest },
      { name: config, target: digest },
      { name: `${config.slice(0, -1)}0`, target: other },
    ]
    const left = new Map([['b.tar', record({ images: [{ name: 'r.test/c:1', digest: other }] })]])
    assert.deepEqual(configNames([gone], left, stored), [config])
  })

  it('a file may have the bytes of any of its size; of a broken one only under its own name', () => {
    const state = new Map([
      ['a.tar', record({ sha256: 'own', problem: 'broken' })],
      ['b.tar', record({ sha256: 'other' })],
      ['c.tar', record({ sha256: 'broken', problem: 'broken' })],
      ['d.tar', record({ sha256: 'longer', sizeBytes: 11 })],
      ['e.tar', record({ sha256: undefined })],
    ])
    assert.deepEqual(
      knownContents(file, state).map(({ sha256 }) => sha256),
      ['own', 'other'],
    )
  })

  it('a list that waits is tried again when an image is offered, and else once a minute', () => {
    const waiting = [
      { name: 'r.test/a:1', reason: 'nobody has it' },
      { name: 'r.test/b:1', reason: 'nobody has it' },
    ]
    const state = new Map([
      ['a.txt', record({ waiting })],
      ['b.txt', record({ waiting: [] })],
      ['c.tar', record()],
    ])
    const tried = new Map([['a.txt', 5000]])
    const retry = (nowMs: number, has = '') => listsToRetry(state, tried, (name) => name === has, nowMs)
    assert.deepEqual(retry(64_999), [])
    assert.deepEqual(retry(65_000), ['a.txt'])
    assert.deepEqual(retry(14_999, 'r.test/b:1'), [])
    assert.deepEqual(retry(15_000, 'r.test/b:1'), ['a.txt'])
    assert.deepEqual(
      listsToRetry(state, new Map(), () => false, 0),
      ['a.txt'],
    )
  })
})
