import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { AnnouncementPace } from '../../lib/catalog/announcement-pace.ts'
import type { Rng } from '../../lib/core/ports.ts'
import { seededRng } from '../sim/random.ts'

const startMs = 1e6
const middle: Rng = { next: () => 0.5 }
const never = Number.NEGATIVE_INFINITY

/** A pace that has heard so many messages a second for some seconds. @returns it and the time by then */
function paceAt(perSecond: number, seconds = 6): { pace: AnnouncementPace; nowMs: number } {
  const pace = new AnnouncementPace()
  let nowMs = startMs
  for (let message = 0; message < perSecond * seconds; message++) {
    nowMs = startMs + (message * 1000) / perSecond
    pace.heard(nowMs)
  }
  return { pace, nowMs }
}

describe('the pace of announcements', () => {
  it('lets a change wait 25 ms for others, and 100 ms since the last announcement, while little is heard', () => {
    for (const perSecond of [0, 1, 40, 90]) {
      const { pace, nowMs } = paceAt(perSecond)
      assert.equal(pace.waitMs(nowMs, never, middle), 25)
      assert.equal(pace.waitMs(nowMs, nowMs - 1_000, middle), 25)
      assert.equal(pace.waitMs(nowMs, nowMs - 30, middle), 70)
      assert.equal(pace.isBusy(nowMs), false)
    }
  })

  it('holds changes back for longer the more is heard, with the third power of it, at most half a minute', () => {
    for (const [perSecond, expectedMs] of [
      [200, 800],
      [300, 2_700],
      [500, 12_500],
      [5_000, 30_000],
    ] as const) {
      const { pace, nowMs } = paceAt(perSecond)
      const waitMs = pace.waitMs(nowMs, never, middle)
      assert.ok(Math.abs(waitMs - expectedMs) <= expectedMs / 20, `${waitMs} ms at ${perSecond} a second`)
      assert.equal(pace.isBusy(nowMs), true)
    }
  })

  it('notices a flood within half a second, and that it is over within four seconds', () => {
    const { pace, nowMs } = paceAt(1_000, 0.5)
    assert.ok(pace.isBusy(nowMs))
    assert.ok(pace.gapMs(nowMs) > 1_000)
    assert.equal(pace.isBusy(nowMs + 4_000), false)
    assert.equal(pace.waitMs(nowMs + 4_000, never, middle), 25)
  })

  it('is between calm and half a minute whatever comes when, and never tells of more than has come', () => {
    const property = fc.property(fc.array(fc.nat(5_000), { maxLength: 300 }), (pauses) => {
      const pace = new AnnouncementPace()
      let nowMs = startMs
      for (const pauseMs of pauses) {
        nowMs += pauseMs
        pace.heard(nowMs)
        const gapMs = pace.gapMs(nowMs)
        assert.ok(gapMs >= 100 && gapMs <= 30_000)
        assert.ok(pace.perSecond(nowMs) <= pauses.length / 2)
        assert.ok(pace.waitMs(nowMs, nowMs, middle) >= 50)
      }
    })
    fc.assert(property)
  })

  it('keeps ten thousand nodes that change all the time to what a core can take', () => {
    const nodes = 10_000
    const stepMs = 50
    const rng = seededRng(1)
    const pace = new AnnouncementPace()
    const dueMs = Array.from({ length: nodes }, (_, node) => startMs + node / 10)
    let sent = 0
    for (let nowMs = startMs; nowMs < startMs + 120_000; nowMs += stepMs) {
      if (nowMs === startMs + 60_000) sent = 0
      for (let node = 0; node < nodes; node++) {
        if (dueMs[node]! > nowMs) continue
        pace.heard(nowMs)
        sent++
        dueMs[node] = nowMs + pace.waitMs(nowMs, nowMs, rng)
      }
    }
    const perSecond = sent / 60
    assert.ok(perSecond > 200 && perSecond < 800, `${perSecond} a second`)
  })
})
