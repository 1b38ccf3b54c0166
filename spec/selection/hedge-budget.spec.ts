import assert from 'node:assert/strict'
import { test } from 'node:test'
import { HedgeBudget } from '../../lib/selection/hedge-budget.ts'
import type { PlanEffect } from '../../lib/selection/plan-types.ts'
import { TransferPlan } from '../../lib/selection/transfer-plan.ts'
import { wholeBody } from '../../lib/selection/wanted-bytes.ts'

const holders = [{ reach: 'complete' as const }, { reach: 'complete' as const }]
const budget = { reserve: () => true, release: () => {} }

function startPlan(hedges: HedgeBudget): { plan: TransferPlan; fetch: number } {
  const plan = new TransferPlan(holders, { wanted: wholeBody, stripes: undefined, budget, hedges })
  const fetch = requestsOf(plan.step({ type: 'start' }))[0] as number
  plan.step({ type: 'opened', fetch, sizeBytes: 100, start: 0, end: 99 })
  return { plan, fetch }
}

function requestsOf(effects: readonly PlanEffect[]): number[] {
  return effects.flatMap((effect) => (effect.type === 'request' ? [effect.fetch] : []))
}

test('two ranges may always be asked for twice, and one for each ten requests that run', () => {
  const outcomes: string[] = []
  const hedges = new HedgeBudget((outcome) => outcomes.push(outcome))
  for (const allowed of [true, true, false]) assert.equal(hedges.take(), allowed)
  for (let index = 0; index < 30; index++) hedges.count(1)
  assert.equal(hedges.take(), true)
  assert.equal(hedges.take(), false)
  hedges.give()
  assert.equal(hedges.take(), true)
  assert.deepEqual(outcomes, ['sent', 'sent', 'refused', 'sent', 'refused', 'sent'])
})

test('where all transfers are late only a small part of them is asked for twice', () => {
  const hedges = new HedgeBudget()
  const plans = Array.from({ length: 60 }, () => startPlan(hedges))
  const second = plans.flatMap(({ plan, fetch }) => requestsOf(plan.step({ type: 'late', fetch })))
  assert.ok(second.length >= 6 && second.length <= 7, `${second.length} of 60 were asked for twice`)
  for (const { plan } of plans) plan.close()
  assert.equal(hedges.hedges, 0)
  assert.equal(hedges.running, 0)
})

test('a range whose first request is over is not asked for twice any more, and makes room for another one', () => {
  const hedges = new HedgeBudget()
  const plans = [startPlan(hedges), startPlan(hedges), startPlan(hedges)]
  const late = plans.map(({ plan, fetch }) => requestsOf(plan.step({ type: 'late', fetch })).length)
  assert.deepEqual(late, [1, 1, 0])
  const [first, , third] = plans
  first?.plan.step({ type: 'failed', fetch: first.fetch })
  assert.equal(hedges.hedges, 1)
  assert.equal(requestsOf(third?.plan.step({ type: 'late', fetch: third.fetch }) ?? []).length, 1)
})
