import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { PlanEffect } from '../../lib/selection/plan-types.ts'
import { type StripeSettings, widthAmong } from '../../lib/selection/stripe-layout.ts'
import { TransferPlan } from '../../lib/selection/transfer-plan.ts'
import { type WantedBytes, wholeBody } from '../../lib/selection/wanted-bytes.ts'
import { Counted, expected, type Fate, play } from './plan-player.ts'

const stripes: StripeSettings = { thresholdBytes: 8, stripeBytes: 4, maxHolders: 3 }

function plan(reaches: readonly (number | 'complete')[], wanted: WantedBytes = wholeBody, room = 1000) {
  const budget = new Counted(room)
  const machine = new TransferPlan(
    reaches.map((reach) => ({ reach })),
    { wanted, stripes, budget },
  )
  return { machine, budget }
}

function requests(effects: readonly PlanEffect[]): [number, WantedBytes][] {
  return effects.flatMap((effect) => (effect.type === 'request' ? [[effect.source, effect.wanted]] : []))
}

function firstFetch(effects: readonly PlanEffect[]): number {
  for (const effect of effects) if (effect.type === 'request') return effect.fetch
  throw new Error('nothing was asked')
}

function span(start: number, end: number | undefined): WantedBytes {
  return { kind: 'span', start, end }
}

test('a sole candidate is asked for the whole at once', () => {
  const { machine } = plan(['complete'])
  assert.deepEqual(requests(machine.step({ type: 'start' })), [[0, wholeBody]])
})

test('of several the first gives the first range, and the others those after it as soon as the size is known', () => {
  const { machine } = plan(['complete', 'complete', 'complete'])
  const start = machine.step({ type: 'start' })
  assert.deepEqual(requests(start), [[0, span(0, 7)]])
  const opened = machine.step({ type: 'opened', fetch: firstFetch(start), sizeBytes: 30, start: 0, end: 7 })
  assert.deepEqual(requests(opened), [
    [1, span(8, 11)],
    [2, span(12, 15)],
  ])
})

test('the more bodies there are at a time, the fewer holders give each of them at once', () => {
  const widths = [1, 2, 3, 4, 5, 8, 64].map((transfers) => widthAmong(transfers, { maxHolders: 4 }))
  assert.deepEqual(widths, [4, 4, 2, 2, 1, 1, 1])
})

test('where one holder gives at a time its ranges are long, and the next one goes on when they are over', () => {
  const machine = new TransferPlan([{ reach: 'complete' }, { reach: 'complete' }], {
    wanted: wholeBody,
    stripes,
    width: () => 1,
    budget: new Counted(1000),
  })
  const start = machine.step({ type: 'start' })
  assert.deepEqual(requests(start), [[0, span(0, 31)]])
  const fetch = firstFetch(start)
  assert.deepEqual(machine.step({ type: 'opened', fetch, sizeBytes: 100, start: 0, end: 31 }), [])
  machine.receive(fetch, 32)
  assert.deepEqual(machine.step({ type: 'ended', fetch }), [], 'nothing is fetched ahead')
  assert.deepEqual(requests(machine.step({ type: 'passed' })), [[0, span(32, 63)]])
})

test('whoever is free takes the next range', () => {
  const { machine } = plan(['complete', 'complete'])
  const start = machine.step({ type: 'start' })
  const opened = machine.step({ type: 'opened', fetch: firstFetch(start), sizeBytes: 30, start: 0, end: 7 })
  const second = firstFetch(opened)
  machine.step({ type: 'opened', fetch: second, sizeBytes: 30, start: 8, end: 11 })
  machine.receive(second, 4)
  assert.deepEqual(requests(machine.step({ type: 'ended', fetch: second })), [[1, span(12, 15)]])
})

test('without room for bytes ahead only the range whose turn it is is fetched', () => {
  const { machine } = plan(['complete', 'complete'], wholeBody, 0)
  const start = machine.step({ type: 'start' })
  const opened = machine.step({ type: 'opened', fetch: firstFetch(start), sizeBytes: 30, start: 0, end: 7 })
  assert.deepEqual(opened, [])
})

test('a range that breaks goes on at the next candidate from the byte reached', () => {
  const { machine } = plan(['complete', 'complete'], wholeBody, 0)
  const fetch = firstFetch(machine.step({ type: 'start' }))
  machine.step({ type: 'opened', fetch, sizeBytes: 30, start: 0, end: 7 })
  machine.receive(fetch, 5)
  assert.deepEqual(requests(machine.step({ type: 'failed', fetch })), [[1, span(5, 7)]])
})

test('who breaks off in the middle is asked once more where the client has a part and nobody else is left', () => {
  const { machine } = plan(['complete'])
  const fetch = firstFetch(machine.step({ type: 'start' }))
  machine.step({ type: 'opened', fetch, sizeBytes: 30, start: 0, end: 29 })
  machine.receive(fetch, 5)
  machine.step({ type: 'committed' })
  const again = machine.step({ type: 'failed', fetch, interrupted: true })
  assert.deepEqual(requests(again), [[0, span(5, 29)]])
  const second = firstFetch(again)
  machine.step({ type: 'opened', fetch: second, sizeBytes: 30, start: 5, end: 29 })
  machine.receive(second, 5)
  const effects = machine.step({ type: 'failed', fetch: second, interrupted: true })
  assert.ok(effects.some(({ type }) => type === 'end-early'))
})

test('where nobody is left, the one that failed longest ago is asked again once the body has grown, one at a time', () => {
  const machine = new TransferPlan([{ reach: 'complete' }, { reach: 'complete' }], {
    ...{ wanted: wholeBody, stripes: undefined, budget: new Counted(0), returnBytes: 10 },
  })
  const fetch = firstFetch(machine.step({ type: 'start' }))
  machine.step({ type: 'opened', fetch, sizeBytes: 100, start: 0, end: 99 })
  machine.receive(fetch, 5)
  machine.step({ type: 'committed' })
  const second = firstFetch(machine.step({ type: 'failed', fetch }))
  machine.step({ type: 'opened', fetch: second, sizeBytes: 100, start: 5, end: 99 })
  machine.receive(second, 10)
  const back = machine.step({ type: 'failed', fetch: second })
  assert.deepEqual(requests(back), [[0, span(15, 99)]])
  const third = firstFetch(back)
  machine.step({ type: 'opened', fetch: third, sizeBytes: 100, start: 15, end: 99 })
  machine.receive(third, 9)
  const effects = machine.step({ type: 'failed', fetch: third })
  assert.ok(
    effects.some(({ type }) => type === 'end-early'),
    'nine bytes are not enough for another one',
  )
})

test('who gave wrong bytes never comes back', () => {
  const machine = new TransferPlan([{ reach: 'complete' }, { reach: 'complete' }], {
    ...{ wanted: wholeBody, stripes: undefined, budget: new Counted(0), returnBytes: 1 },
  })
  const fetch = firstFetch(machine.step({ type: 'start' }))
  machine.step({ type: 'opened', fetch, sizeBytes: 100, start: 0, end: 99 })
  machine.receive(fetch, 20)
  machine.step({ type: 'committed' })
  const wrong = machine.step({ type: 'wrong', from: 10, to: 20 })
  assert.deepEqual(requests(wrong), [[1, span(10, 99)]])
  const second = firstFetch(wrong)
  machine.step({ type: 'opened', fetch: second, sizeBytes: 100, start: 10, end: 99 })
  machine.receive(second, 50)
  const back = machine.step({ type: 'failed', fetch: second })
  assert.ok(back.some(({ type }) => type === 'end-early'))
})

test('a late range is asked for elsewhere too, what comes twice counts once, and the faster answer ends the other', () => {
  const { machine } = plan(['complete', 'complete'], wholeBody, 0)
  const fetch = firstFetch(machine.step({ type: 'start' }))
  machine.step({ type: 'opened', fetch, sizeBytes: 30, start: 0, end: 7 })
  machine.receive(fetch, 2)
  const late = machine.step({ type: 'late', fetch })
  assert.deepEqual(requests(late), [[1, span(2, 7)]])
  const second = firstFetch(late)
  machine.step({ type: 'opened', fetch: second, sizeBytes: 30, start: 2, end: 7 })
  assert.equal(machine.receive(second, 3)?.take, 3)
  const { skip, take } = machine.receive(fetch, 4) ?? {}
  assert.deepEqual([skip, take], [3, 1])
  machine.receive(second, 3)
  const ended = machine.step({ type: 'ended', fetch: second })
  assert.ok(ended.some((effect) => effect.type === 'cancel' && effect.fetch === fetch && effect.overtaken))
})

test('where all were slow once, the next range that is late is asked for at one that has nothing to do', () => {
  const { machine } = plan(['complete', 'complete'], wholeBody, 0)
  const fetch = firstFetch(machine.step({ type: 'start' }))
  machine.step({ type: 'opened', fetch, sizeBytes: 30, start: 0, end: 7 })
  const second = firstFetch(machine.step({ type: 'late', fetch }))
  machine.step({ type: 'opened', fetch: second, sizeBytes: 30, start: 0, end: 7 })
  machine.receive(second, 8)
  machine.step({ type: 'ended', fetch: second })
  const [next] = machine.step({ type: 'passed' })
  assert.ok(next?.type === 'request' && next.source === 1)
  assert.deepEqual(requests(machine.step({ type: 'late', fetch: next.fetch })), [[0, span(8, 11)]])
})

test('a busy candidate is asked again when its time has come, and nobody is blamed', () => {
  const { machine } = plan(['complete'])
  const fetch = firstFetch(machine.step({ type: 'start' }))
  assert.deepEqual(machine.step({ type: 'busy', fetch, retryAtMs: 100 }), [])
  assert.ok(machine.waiting)
  assert.deepEqual(machine.step({ type: 'tick', nowMs: 99 }), [])
  assert.deepEqual(requests(machine.step({ type: 'tick', nowMs: 100 })), [[0, wholeBody]])
})

test('holders that turn up while all are busy are asked', () => {
  const { machine } = plan(['complete'])
  const fetch = firstFetch(machine.step({ type: 'start' }))
  machine.step({ type: 'busy', fetch, retryAtMs: 100 })
  const found = machine.step({ type: 'candidates', candidates: [{ reach: 'complete' }] })
  assert.deepEqual(requests(found), [[1, wholeBody]])
})

test('an open-ended range is asked for in pieces, and none before the one before it was taken', () => {
  const { machine } = plan(['complete', 'complete'], span(100, undefined))
  const start = machine.step({ type: 'start' })
  const first = 100 + 4 * 2 ** 20 - 1
  assert.deepEqual(requests(start), [[0, span(100, first)]])
  const fetch = firstFetch(start)
  const opened = machine.step({ type: 'opened', fetch, sizeBytes: 2 ** 30, start: 100, end: first })
  assert.deepEqual(opened, [])
  machine.receive(fetch, 4 * 2 ** 20)
  assert.deepEqual(machine.step({ type: 'ended', fetch }), [])
  assert.deepEqual(machine.step({ type: 'passed' }), [], 'the client gets a moment to drop the rest')
  const [[, wanted] = []] = requests(machine.step({ type: 'tick', nowMs: 1 }))
  assert.deepEqual(wanted, span(first + 1, first + 256 * 2 ** 10))
})

test('a second candidate that names another size is not believed, and heard again when the first one fails', () => {
  const { machine } = plan(['complete', 'complete'])
  const start = machine.step({ type: 'start' })
  const fetch = firstFetch(start)
  const opened = machine.step({ type: 'opened', fetch, sizeBytes: 30, start: 0, end: 7 })
  const other = firstFetch(opened)
  const effects = machine.step({ type: 'opened', fetch: other, sizeBytes: 31, start: 8, end: 11 })
  assert.ok(effects.some((effect) => effect.type === 'failed' && effect.disagrees))
  assert.deepEqual(
    requests(machine.step({ type: 'failed', fetch })).map(([source]) => source),
    [1],
  )
})

test('bytes found wrong are fetched anew from the place where they were wrong, from others than who gave them', () => {
  const { machine } = plan(['complete', 'complete'], wholeBody, 0)
  const fetch = firstFetch(machine.step({ type: 'start' }))
  machine.step({ type: 'opened', fetch, sizeBytes: 30, start: 0, end: 7 })
  machine.receive(fetch, 6)
  machine.step({ type: 'committed' })
  const effects = machine.step({ type: 'wrong', from: 3, to: 6 })
  assert.deepEqual(requests(effects), [[1, span(3, 7)]])
})

test('an empty blob is finished, whether it is asked for whole or by a range', () => {
  const one = plan(['complete']).machine
  const fetch = firstFetch(one.step({ type: 'start' }))
  one.step({ type: 'opened', fetch, sizeBytes: 0, start: 0, end: -1 })
  one.step({ type: 'ended', fetch })
  assert.deepEqual(one.step({ type: 'passed' }), [{ type: 'finish' }])
  const two = plan(['complete', 'complete']).machine
  const asked = firstFetch(two.step({ type: 'start' }))
  const said = two.step({ type: 'unsatisfiable', fetch: asked, sizeBytes: 0 })
  if (!said.some(({ type }) => type === 'finish')) {
    assert.deepEqual(two.step({ type: 'passed' }), [{ type: 'finish' }])
  }
})

const fate: fc.Arbitrary<Fate> = fc.record({
  reach: fc.oneof({ weight: 4, arbitrary: fc.constant<'complete'>('complete') }, fc.nat(64)),
  /** What it does with each of its requests, in turn; after the last one it is honest or not. */
  acts: fc.array(
    fc.constantFrom(
      'good',
      'refuses',
      'breaks',
      'short',
      'busy',
      'late',
      'parked',
      'size',
      'other-range',
      'silent',
    ),
    { maxLength: 4 },
  ),
  honest: fc.boolean(),
  gives: fc.nat(12),
})

const wantedBytes: fc.Arbitrary<WantedBytes> = fc.oneof(
  fc.constant(wholeBody),
  fc.record({
    kind: fc.constant<'span'>('span'),
    start: fc.nat(70),
    end: fc.option(fc.nat(70), { nil: undefined }),
  }),
  fc.record({ kind: fc.constant<'suffix'>('suffix'), length: fc.integer({ min: 1, max: 70 }) }),
)

test('any interleaving of failures, delays, short reads and wrong bytes delivers exactly the bytes or a visible failure, within its memory, and ends', () => {
  fc.assert(
    fc.property(
      fc.record({
        size: fc.nat(64),
        fates: fc.array(fate, { maxLength: 5 }),
        wanted: wantedBytes,
        room: fc.constantFrom(0, 4, 8, 100),
        order: fc.array(fc.nat(1000), { minLength: 20, maxLength: 60 }),
        commits: fc.boolean(),
        wrongAt: fc.option(fc.nat(64), { nil: undefined }),
      }),
      (game) => {
        const { wanted } = game
        if (wanted.kind === 'span' && wanted.end !== undefined && wanted.end < wanted.start) return
        const { end, delivered, committed, peakBytes, leftBytes, running, counted } = play(game, stripes)
        const right = [...expected(game.size, wanted)]
        assert.equal(leftBytes, 0, 'all reservations are given back')
        assert.ok(
          peakBytes <= stripes.maxHolders * stripes.stripeBytes,
          'no more is held ahead than one body may',
        )
        assert.equal(running, 0, 'no request is left')
        assert.equal(counted, 0, 'the budget of hedges knows it')
        assert.ok(peakBytes <= game.room, 'bytes ahead stay within the room')
        if (end === 'finish') assert.deepEqual(delivered, right)
        else assert.deepEqual(delivered, right.slice(0, delivered.length))
        if (end === 'not-found') assert.ok(!committed)
        if (end === 'end-early') assert.ok(committed)
        const honest = game.fates.some(
          ({ reach, acts, honest: good }) => reach === 'complete' && good && acts.length === 0,
        )
        const lied = game.fates.some(({ acts }) => acts.includes('size')) || game.wrongAt !== undefined
        if (honest && !lied && (right.length > 0 || wanted === wholeBody)) assert.equal(end, 'finish')
      },
    ),
    { numRuns: 3000 },
  )
})
