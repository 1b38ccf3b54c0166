import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import {
  type TransferAction,
  TransferPlan,
  type WantedBytes,
  wholeBody,
} from '../../lib/selection/transfer-plan.ts'

type Reach = number | 'complete'

function plan(reaches: readonly Reach[], wanted: WantedBytes = wholeBody): TransferPlan {
  return new TransferPlan(
    reaches.map((reach) => ({ reach })),
    wanted,
  )
}

function span(start: number, end: number | undefined): WantedBytes {
  return { kind: 'span', start, end }
}

test('a body that comes whole from the first candidate is finished', () => {
  const machine = plan(['complete', 'complete'])
  assert.deepEqual(machine.step({ type: 'start' }), { type: 'request', source: 0, wanted: wholeBody })
  assert.deepEqual(machine.step({ type: 'opened', sizeBytes: 10, start: 0, end: 9 }), {
    type: 'receive',
    take: 0,
  })
  assert.deepEqual(machine.step({ type: 'received', bytes: 10 }), { type: 'receive', take: 10 })
  assert.deepEqual(machine.step({ type: 'ended' }), { type: 'finish' })
})

test('a body without bytes is finished when its answer ends', () => {
  const machine = plan(['complete'])
  machine.step({ type: 'start' })
  machine.step({ type: 'opened', sizeBytes: 0, start: 0, end: -1 })
  assert.deepEqual(machine.step({ type: 'ended' }), { type: 'finish' })
})

test('a range of a body without bytes is not answered with the whole', () => {
  const machine = plan(['complete'], span(0, undefined))
  machine.step({ type: 'start' })
  assert.deepEqual(machine.step({ type: 'opened', sizeBytes: 0, start: 0, end: -1 }), { type: 'not-found' })
  const honest = plan(['complete'], span(0, undefined))
  honest.step({ type: 'start' })
  assert.deepEqual(honest.step({ type: 'unsatisfiable', sizeBytes: 0 }), {
    type: 'unsatisfiable',
    sizeBytes: 0,
  })
})

test('a body that breaks goes on at the next candidate from the byte reached', () => {
  const machine = plan(['complete', 'complete'])
  machine.step({ type: 'start' })
  machine.step({ type: 'opened', sizeBytes: 10, start: 0, end: 9 })
  machine.step({ type: 'received', bytes: 4 })
  assert.deepEqual(machine.step({ type: 'failed' }), { type: 'request', source: 1, wanted: span(4, 9) })
})

test('an answer that ends short counts as a failure', () => {
  const machine = plan(['complete', 'complete'])
  machine.step({ type: 'start' })
  machine.step({ type: 'opened', sizeBytes: 10, start: 0, end: 9 })
  machine.step({ type: 'received', bytes: 9 })
  assert.deepEqual(machine.step({ type: 'ended' }), { type: 'request', source: 1, wanted: span(9, 9) })
})

test('without candidates left the answer is not found before the first byte and an early end after it', () => {
  const before = plan(['complete'])
  before.step({ type: 'start' })
  assert.deepEqual(before.step({ type: 'failed' }), { type: 'not-found' })
  const after = plan(['complete'])
  after.step({ type: 'start' })
  after.step({ type: 'opened', sizeBytes: 10, start: 0, end: 9 })
  after.step({ type: 'received', bytes: 1 })
  after.step({ type: 'committed' })
  assert.deepEqual(after.step({ type: 'failed' }), { type: 'end-early' })
})

test('a second source that names another size is not believed', () => {
  const machine = plan(['complete', 'complete', 'complete'])
  machine.step({ type: 'start' })
  machine.step({ type: 'opened', sizeBytes: 10, start: 0, end: 9 })
  machine.step({ type: 'received', bytes: 4 })
  machine.step({ type: 'failed' })
  assert.deepEqual(machine.step({ type: 'opened', sizeBytes: 11, start: 4, end: 9 }), {
    type: 'request',
    source: 2,
    wanted: span(4, 9),
  })
})

test('an answer with another range than was asked for is not believed', () => {
  const machine = plan(['complete', 'complete'], span(5, undefined))
  machine.step({ type: 'start' })
  assert.deepEqual(machine.step({ type: 'opened', sizeBytes: 10, start: 0, end: 9 }), {
    type: 'request',
    source: 1,
    wanted: span(5, undefined),
  })
})

test('a suffix becomes a span once the size is known', () => {
  const machine = plan(['complete', 'complete'], { kind: 'suffix', length: 4 })
  assert.deepEqual(machine.step({ type: 'start' }), {
    type: 'request',
    source: 0,
    wanted: { kind: 'suffix', length: 4 },
  })
  machine.step({ type: 'opened', sizeBytes: 10, start: 6, end: 9 })
  machine.step({ type: 'received', bytes: 1 })
  assert.deepEqual(machine.step({ type: 'failed' }), { type: 'request', source: 1, wanted: span(7, 9) })
})

test('wrong bytes that nobody has seen are fetched anew from a candidate that gave none of them', () => {
  const machine = plan(['complete', 'complete', 'complete'])
  machine.step({ type: 'start' })
  machine.step({ type: 'opened', sizeBytes: 10, start: 0, end: 9 })
  machine.step({ type: 'received', bytes: 4 })
  machine.step({ type: 'failed' })
  machine.step({ type: 'opened', sizeBytes: 10, start: 4, end: 9 })
  machine.step({ type: 'received', bytes: 6 })
  assert.deepEqual(machine.step({ type: 'ended' }), { type: 'finish' })
  assert.deepEqual(machine.step({ type: 'wrong' }), { type: 'request', source: 2, wanted: wholeBody })
})

test('wrong bytes that the client has begun to see end its body early', () => {
  const machine = plan(['complete', 'complete'])
  machine.step({ type: 'start' })
  machine.step({ type: 'opened', sizeBytes: 10, start: 0, end: 9 })
  machine.step({ type: 'received', bytes: 10 })
  machine.step({ type: 'committed' })
  machine.step({ type: 'ended' })
  assert.deepEqual(machine.step({ type: 'wrong' }), { type: 'end-early' })
})

test('a source is asked only for the bytes that it has', () => {
  const machine = plan([3, 7, 'complete'])
  assert.deepEqual(machine.step({ type: 'start' }), { type: 'request', source: 0, wanted: span(0, 2) })
  machine.step({ type: 'opened', sizeBytes: 10, start: 0, end: 2 })
  machine.step({ type: 'received', bytes: 3 })
  assert.deepEqual(machine.step({ type: 'ended' }), { type: 'request', source: 1, wanted: span(3, 6) })
  machine.step({ type: 'opened', sizeBytes: 10, start: 3, end: 6 })
  machine.step({ type: 'received', bytes: 4 })
  assert.deepEqual(machine.step({ type: 'ended' }), { type: 'request', source: 2, wanted: span(7, 9) })
})

/** How one source behaves: how many bytes it gives before it fails, and how it fails. */
interface Behaviour {
  readonly reach: Reach
  readonly gives: number
  readonly fails: 'refuses' | 'breaks' | 'ends-short' | 'lies-about-size' | 'other-range' | 'never'
  readonly chunk: number
}

const behaviour: fc.Arbitrary<Behaviour> = fc.record({
  reach: fc.oneof({ weight: 3, arbitrary: fc.constant<'complete'>('complete') }, fc.nat(64)),
  gives: fc.nat(64),
  fails: fc.constantFrom('refuses', 'breaks', 'ends-short', 'lies-about-size', 'other-range', 'never'),
  chunk: fc.integer({ min: 1, max: 20 }),
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

function expected(body: Uint8Array, wanted: WantedBytes): Uint8Array {
  if (wanted.kind === 'suffix') return body.subarray(Math.max(0, body.length - wanted.length))
  return body.subarray(wanted.start, wanted.end === undefined ? undefined : wanted.end + 1)
}

test('any sequence of failures and short reads delivers exactly the bytes or a visible failure, and ends', () => {
  fc.assert(
    fc.property(
      fc.nat(64),
      fc.array(behaviour, { maxLength: 6 }),
      wantedBytes,
      fc.boolean(),
      (size, sources, wanted, commits) => {
        if (wanted.kind === 'span' && wanted.end !== undefined && wanted.end < wanted.start) return
        const body = Uint8Array.from({ length: size }, (_, index) => index)
        const machine = plan(
          sources.map(({ reach }) => reach),
          wanted,
        )
        const delivered: number[] = []
        const failed = new Set<number>()
        let committed = false
        let requests = 0
        let action: TransferAction = machine.step({ type: 'start' })
        while (action.type === 'request') {
          assert.ok(++requests <= sources.length, 'more requests than candidates')
          assert.ok(!failed.has(action.source), 'a failed candidate was asked again')
          const index = action.source
          const source = sources[index] as Behaviour
          action = serve(machine, body, source, action.wanted, (bytes) => {
            delivered.push(...bytes)
            if (commits && !committed) {
              committed = true
              machine.step({ type: 'committed' })
            }
          })
          if (action.type === 'request' && action.source !== index && source.reach === 'complete')
            failed.add(index)
        }
        const right = [...expected(body, wanted)]
        if (action.type === 'finish') assert.deepEqual(delivered, right)
        else {
          assert.deepEqual(delivered, right.slice(0, delivered.length))
          assert.notEqual(action.type, 'receive')
          if (action.type === 'not-found') assert.ok(!committed)
          if (action.type === 'end-early') assert.ok(committed)
        }
        const honest = sources.some(({ reach, fails }) => reach === 'complete' && fails === 'never')
        const satisfiable = right.length > 0 || (wanted.kind === 'span' && wanted === wholeBody)
        if (honest && satisfiable && !sources.some(({ fails }) => fails === 'lies-about-size')) {
          assert.equal(action.type, 'finish')
        }
      },
    ),
    { numRuns: 2000 },
  )
})

/** Plays one source; returns the action that follows its end. */
function serve(
  machine: TransferPlan,
  body: Uint8Array,
  source: Behaviour,
  wanted: WantedBytes,
  deliver: (bytes: Uint8Array) => void,
): TransferAction {
  if (source.fails === 'refuses') return machine.step({ type: 'failed' })
  const size = source.fails === 'lies-about-size' ? body.length + 1 : body.length
  const start = wanted.kind === 'suffix' ? Math.max(0, size - wanted.length) : wanted.start
  const end = wanted.kind === 'suffix' ? size - 1 : Math.min(wanted.end ?? size - 1, size - 1)
  if (start > 0 && start >= size) return machine.step({ type: 'unsatisfiable', sizeBytes: size })
  const shift = source.fails === 'other-range' ? 1 : 0
  const opened = machine.step({ type: 'opened', sizeBytes: size, start: start + shift, end })
  if (opened.type !== 'receive') return opened
  // What a liar gives of a suffix are other bytes than an honest source's: only a digest could tell.
  if (source.fails === 'lies-about-size' && wanted.kind === 'suffix') return machine.step({ type: 'ended' })
  const gives = source.fails === 'never' ? end - start + 1 : Math.min(source.gives, end - start)
  for (let sent = 0; sent < gives; ) {
    const chunk = body.subarray(start + sent, start + Math.min(sent + source.chunk, gives))
    if (chunk.length === 0) break
    const step = machine.step({ type: 'received', bytes: chunk.length })
    if (step.type !== 'receive') return step
    deliver(chunk.subarray(0, step.take))
    sent += chunk.length
  }
  return machine.step({ type: source.fails === 'breaks' ? 'failed' : 'ended' })
}
