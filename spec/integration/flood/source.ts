/**
 * A process that throws malformed frames at one node, at a steady rate and for a set time, and then says how many it was.
 * `node source.ts PLAN`, where PLAN is the JSON of a `FloodPlan`.
 */
import { p2pKinds, tlsNoiseKinds } from './connections.ts'
import { datagramKinds } from './datagrams.ts'
import type { FloodPlan, FloodReport, FrameKind, Lane } from './plan.ts'
import { requestKinds } from './requests.ts'

const tickMs = 10
/** What could not be sent in time is made up for, a second's worth at most. */
const maxDebtSeconds = 1

const plan = JSON.parse(process.argv[2] ?? '') as FloodPlan
const datagrams = datagramKinds(plan)
const lanes: Readonly<Record<Lane, readonly FrameKind[]>> = {
  udp: datagrams.kinds,
  p2p: p2pKinds(plan),
  registry: [...tlsNoiseKinds(plan), ...requestKinds(plan)],
}
const sent: Record<Lane, number> = { udp: 0, p2p: 0, registry: 0 }
const due: Record<Lane, number> = { udp: 0, p2p: 0, registry: 0 }
const kinds: Record<string, number> = {}

function choose(from: readonly FrameKind[]): FrameKind {
  let at = Math.random() * from.reduce((sum, kind) => sum + kind.weight, 0)
  for (const kind of from) {
    at -= kind.weight
    if (at < 0) return kind
  }
  return from[0] as FrameKind
}

const startedMs = performance.now()
let lastMs = startedMs

function tick(): void {
  const nowMs = performance.now()
  const elapsed = (nowMs - lastMs) / 1000
  lastMs = nowMs
  for (const lane of Object.keys(lanes) as Lane[]) {
    const rate = plan.rates[lane]
    due[lane] = Math.min(due[lane] + rate * elapsed, rate * maxDebtSeconds)
    for (; due[lane] >= 1; due[lane] -= 1) {
      const kind = choose(lanes[lane])
      if (!kind.send()) continue
      sent[lane] += 1
      kinds[kind.name] = (kinds[kind.name] ?? 0) + 1
    }
  }
  if (nowMs - startedMs < plan.seconds * 1000) return
  const report: FloodReport = { seconds: (nowMs - startedMs) / 1000, sent, kinds }
  process.stdout.write(`${JSON.stringify(report)}\n`, () => process.exit(0))
}

setInterval(tick, tickMs)
