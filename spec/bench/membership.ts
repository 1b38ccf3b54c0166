import { randomBytes } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { eventually } from '../support/eventually.ts'
import type { Benchmark, Table } from './benchmark.ts'
import type { AgentFlock } from './support/flock.ts'
import { cpuSeconds, residentBytes } from './support/process-usage.ts'
import { hasSerf, serfFlock } from './support/serf-flock.ts'
import { starlingFlock } from './support/starling-flock.ts'
import { median, round, spread } from './support/statistics.ts'

/** `STARLING_BENCH_AGENTS`: as many as the machine has room for; a node takes 150 MiB, and 2.5 s of a core to start. */
const agentsByDefault = { quick: 5, full: 30 }
const wholeWithinMs = 600_000
const givenUpMs = 60_000

interface Plan {
  readonly rounds: number
  readonly idleMs: number
  readonly stopsMs: readonly number[]
  readonly log: (line: string) => void
}

/** Milliseconds from the signal until each other agent declared the killed one dead, for each round. */
async function killings(flock: AgentFlock, { rounds, log }: Plan): Promise<number[][]> {
  const all: number[][] = []
  for (let turn = 0; turn < rounds; turn++) {
    // The phase of a probe period in which it happens must not be the same each time.
    await delay(3000 + (turn * 1000) / rounds)
    const victim = (turn * 7 + 3) % flock.size
    const sinceMs = Date.now()
    await flock.kill(victim)
    const times = () =>
      flock
        .losses()
        .filter(({ lost, atMs }) => lost === victim && atMs >= sinceMs)
        .map(({ atMs }) => atMs - sinceMs)
    const options = { timeoutMs: givenUpMs, intervalMs: 200, what: 'all to know that an agent is dead' }
    await eventually(() => times().length >= flock.size - 1, options)
    all.push(times())
    log(`${flock.label}: killed, first ${Math.min(...times())} ms, last ${Math.max(...times())} ms`)
    await flock.restart(victim)
    await flock.waitWhole(wholeWithinMs)
  }
  return all
}

/** How many deaths are declared of an agent that stands still for so long, and of others meanwhile. */
async function stopped(flock: AgentFlock, durationMs: number): Promise<number> {
  const before = flock.losses().length
  const victim = flock.size - 1
  flock.pause(victim)
  await delay(durationMs)
  flock.resume(victim)
  await delay(10_000)
  const deaths = flock.losses().length - before
  await flock.waitWhole(wholeWithinMs)
  return deaths
}

async function measure(flock: AgentFlock, plan: Plan): Promise<Table['rows']> {
  await flock.waitWhole(wholeWithinMs)
  await delay(plan.idleMs / 4)
  const pids = Array.from({ length: flock.size }, (_, index) => flock.pidOf(index))
  const before = { cpu: pids.map(cpuSeconds), bytes: flock.sentBytes(), ms: performance.now() }
  const deathsBefore = flock.losses().length
  await delay(plan.idleMs)
  const seconds = (performance.now() - before.ms) / 1000
  const cpu = pids.map((pid, index) => ((cpuSeconds(pid) - before.cpu[index]!) / seconds) * 100)
  const bytes = (flock.sentBytes() - before.bytes) / seconds / flock.size
  const idleDeaths = flock.losses().length - deathsBefore
  plan.log(`${flock.label}: idle for ${Math.round(seconds)} s`)
  const rows: (string | number)[][] = [
    ['processor, idle', `${round(median(cpu))} %`, `${round(Math.max(...cpu))} %`],
    [
      'resident memory',
      `${round(median(pids.map((pid) => residentBytes(pid, 'VmRSS') / 2 ** 20)), 0)} MiB`,
      '',
    ],
    ['sent, idle', `${round(bytes / 1024, 1)} KiB/s`, ''],
    ['deaths declared while idle', idleDeaths, ''],
  ]
  const times = await killings(flock, plan)
  const [any, , anyLongest] = spread(times.flat())
  const [last, , lastLongest] = spread(times.map((one) => Math.max(...one)))
  rows.push(['kill −9 → an agent knows', `${any} ms`, `${anyLongest} ms`])
  rows.push(['kill −9 → the last one knows', `${last} ms`, `${lastLongest} ms`])
  for (const stopMs of plan.stopsMs)
    rows.push([`deaths declared when stopped for ${stopMs / 1000} s`, await stopped(flock, stopMs), ''])
  return rows.map((row) => [flock.label, ...row])
}

/** Failure detection beside the reference, one after the other on the same machine. */
export const membership: Benchmark = {
  name: 'membership',
  title: 'Membership beside serf (memberlist): detection, false deaths and what it costs to be idle',
  async run(log, { quick }) {
    const { STARLING_BENCH_AGENTS: asked } = process.env
    const size = asked === undefined ? agentsByDefault[quick ? 'quick' : 'full'] : Number(asked)
    const plan: Plan = {
      rounds: quick ? 2 : 5,
      idleMs: quick ? 10_000 : 60_000,
      stopsMs: quick ? [3000] : [3000, 8000],
      log,
    }
    const rows: Table['rows'][number][] = []
    const isBesideSerf = hasSerf()
    if (isBesideSerf) {
      await using flock = await serfFlock(size, randomBytes(32).toString('base64'))
      rows.push(...(await measure(flock, plan)))
    }
    {
      await using flock = await starlingFlock(size, wholeWithinMs)
      rows.push(...(await measure(flock, plan)))
    }
    return {
      columns: ['who', 'what', 'median', 'most'],
      rows,
      notes: [
        `${size} agents each, one kind after the other, each on a loopback of its own (needs root); ${plan.rounds} rounds of kill −9, idle for ${plan.idleMs / 1000} s.`,
        'A Starling node is the whole mirror with its listeners, libp2p, gossip and catalog; an agent of serf is membership alone.',
        isBesideSerf
          ? 'serf with its defaults for local networks and encryption; times of its log lines as they arrive.'
          : 'serf is not installed (apt-get install serf), so there is nothing to compare with.',
      ],
    }
  },
}
