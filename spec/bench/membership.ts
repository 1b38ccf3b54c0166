import { randomBytes } from 'node:crypto'
import { availableParallelism } from 'node:os'
import { setTimeout as delay } from 'node:timers/promises'
import { builtBin } from '../support/built.ts'
import { stealCores } from '../support/cluster/steal.ts'
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
/** `tcp`: nodes without datagrams; not with `--quick`. */
const kinds = ['serf', 'starling', 'tcp'] as const
const givenUpMs = 60_000
/** Between two pieces of news: what the last one leaves to do is done. */
const newsEveryMs = 2000

interface Plan {
  readonly rounds: number
  readonly idleMs: number
  readonly news: number
  readonly stopsMs: readonly number[]
  readonly robbedMs: number
  readonly log: (line: string) => void
}

/** Seconds of a core until one more agent is a member, seconds from a harm to its notice, and from a restart to the whole. */
const costs = {
  serf: { start: 0.1, notice: 8, whole: 3 },
  starling: { start: 2, notice: 5, whole: 6 },
} as const

/** How long one kind takes on a machine that does nothing else, in seconds; each wait of it has a bound of its own as well. */
function estimateSeconds(plan: Plan, size: number, kind: keyof typeof costs): number {
  const { start, notice, whole } = costs[kind]
  const starts = (size * start) / availableParallelism() + whole
  const idle = plan.idleMs * 1.25
  const outages = 2 * plan.rounds * (3500 + 1000 * (notice + whole))
  const stops = plan.stopsMs.reduce((sum, stopMs) => sum + stopMs + 10_000, 0)
  return starts + (idle + plan.news * (newsEveryMs + 1000) + outages + stops + plan.robbedMs) / 1000
}

type Harm = (flock: AgentFlock, victim: number) => Promise<void> | void

/** Milliseconds from the harm until each other agent declared its victim dead, for each round. */
async function outages(flock: AgentFlock, plan: Plan, what: string, harm: Harm): Promise<number[][]> {
  const { rounds, log } = plan
  const all: number[][] = []
  for (let turn = 0; turn < rounds; turn++) {
    // The phase of a probe period in which it happens must not be the same each time.
    await delay(3000 + (turn * 1000) / rounds)
    const victim = (turn * 7 + 3) % flock.size
    const sinceMs = Date.now()
    await harm(flock, victim)
    const times = () =>
      flock
        .losses()
        .filter(({ viewer, lost, atMs }) => viewer !== victim && lost === victim && atMs >= sinceMs)
        .map(({ atMs }) => atMs - sinceMs)
    const options = { timeoutMs: givenUpMs, intervalMs: 200, what: 'all to know that an agent is dead' }
    await eventually(() => times().length >= flock.size - 1, options)
    all.push(times())
    log(`${flock.label}: ${what}, first ${Math.min(...times())} ms, last ${Math.max(...times())} ms`)
    await flock.kill(victim)
    flock.heal()
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

/** How many deaths are declared while one agent loses 300 ms of its core in each 600. */
async function robbed(flock: AgentFlock, durationMs: number): Promise<number> {
  const before = flock.losses().length
  const victim = flock.size - 1
  const agent = { pause: () => flock.pause(victim), resume: () => flock.resume(victim) }
  const theft = stealCores(agent, { stolenMs: 300, periodMs: 600 })
  await delay(durationMs)
  await theft.end()
  const deaths = flock.losses().length - before
  await flock.waitWhole(wholeWithinMs)
  return deaths
}

async function measure(flock: AgentFlock, plan: Plan, startedMs: number): Promise<Table['rows']> {
  await flock.waitWhole(wholeWithinMs)
  const wholeMs = performance.now() - startedMs
  plan.log(`${flock.label}: whole after ${Math.round(wholeMs)} ms`)
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
    ['from the first start to all see all', `${round(wholeMs / 1000, 1)} s`],
    ['processor, idle', `${round(median(cpu))} %`, `${round(Math.max(...cpu))} %`],
    [
      'resident memory',
      `${round(median(pids.map((pid) => residentBytes(pid, 'VmRSS') / 2 ** 20)), 0)} MiB`,
      '',
    ],
    ['sent, idle', `${round(bytes / 1024, 1)} KiB/s`, ''],
    ['deaths declared while idle', idleDeaths, ''],
  ]
  const times = (what: string, found: readonly number[]) => {
    const [half, p99, longest] = spread(found)
    rows.push([what, `${half} ms`, `${longest} ms`, `${p99} ms`])
  }
  const news: number[][] = []
  for (let turn = 0; turn < plan.news; turn++) {
    await delay(newsEveryMs)
    news.push(await flock.announce((turn * 7 + 3) % flock.size, turn))
  }
  times('news of one → an agent knows', news.flat())
  times(
    'news of one → the last one knows',
    news.map((one) => Math.max(...one)),
  )
  plan.log(`${flock.label}: ${news.length} pieces of news`)
  const harms: readonly (readonly [string, Harm])[] = [
    ['killed (−9)', (agents, victim) => agents.kill(victim)],
    ['host vanished', (agents, victim) => agents.vanish(victim)],
  ]
  for (const [what, harm] of harms) {
    const found = await outages(flock, plan, what, harm)
    times(`${what} → an agent knows`, found.flat())
    times(
      `${what} → the last one knows`,
      found.map((one) => Math.max(...one)),
    )
  }
  for (const stopMs of plan.stopsMs) {
    plan.log(`${flock.label}: stopped for ${stopMs / 1000} s`)
    rows.push([`deaths declared when stopped for ${stopMs / 1000} s`, await stopped(flock, stopMs), ''])
  }
  plan.log(`${flock.label}: robbed of its core`)
  rows.push(['deaths declared, half of the core of one stolen', await robbed(flock, plan.robbedMs), ''])
  return rows.map(([what = '', half = '', most = '', p99 = '']) => [flock.label, what, half, p99, most])
}

/** Failure detection beside the reference, one after the other on the same machine. */
export const membership: Benchmark = {
  name: 'membership',
  title: 'Membership beside serf (memberlist): detection, false deaths and what it costs to be idle',
  parts: kinds,
  async run(log, { quick, parts }) {
    const { STARLING_BENCH_AGENTS: asked } = process.env
    const size = asked === undefined ? agentsByDefault[quick ? 'quick' : 'full'] : Number(asked)
    const plan: Plan = {
      rounds: quick ? 2 : 5,
      idleMs: quick ? 10_000 : 60_000,
      news: quick ? 5 : 30,
      stopsMs: quick ? [8000] : [3000, 8000],
      robbedMs: quick ? 15_000 : 60_000,
      log,
    }
    const rows: Table['rows'][number][] = []
    const isBesideSerf = hasSerf()
    const flocks: Readonly<Record<(typeof kinds)[number], () => Promise<AgentFlock>>> = {
      serf: () => serfFlock(size, randomBytes(32).toString('base64')),
      starling: () => starlingFlock(size, wholeWithinMs),
      tcp: () => starlingFlock(size, wholeWithinMs, false),
    }
    const chosen = kinds
      .filter((kind) => parts?.includes(kind) ?? !(quick && kind === 'tcp'))
      .filter((kind) => kind !== 'serf' || isBesideSerf)
    const seconds = chosen.map((kind) => estimateSeconds(plan, size, kind === 'serf' ? 'serf' : 'starling'))
    const minutes = Math.ceil(seconds.reduce((sum, each) => sum + each, 0) / 60)
    log(`${size} agents of ${chosen.join(', ')}: about ${minutes} minutes if nothing else runs here`)
    for (const kind of chosen) {
      // The build is no part of a start; it happens once.
      if (kind !== 'serf') await builtBin()
      const startedMs = performance.now()
      await using flock = await flocks[kind]()
      rows.push(...(await measure(flock, plan, startedMs)))
    }
    return {
      columns: ['who', 'what', 'median', 'p99', 'most'],
      rows,
      notes: [
        `${size} agents each, one kind after the other, each on a loopback of its own (needs root); ${plan.rounds} rounds of each outage, ${plan.news} pieces of news, idle for ${plan.idleMs / 1000} s.`,
        'News: a user event of serf, from the line of its own agent to that of another; an image that appears in the store of a node, from before the write until the ops API of another names its holder, asked every 40 ms; a dozen of the nodes are asked, each time others, and the last one is the last of these. Host vanished: packets to and from its address are dropped and its process stands still.',
        'A Starling node is the whole mirror with its listeners, libp2p, gossip and catalog, here with one thread for its registry; an agent of serf is membership alone.',
        isBesideSerf
          ? 'serf with its defaults for local networks and encryption; times of its log lines as they arrive.'
          : 'serf is not installed (apt-get install serf), so there is nothing to compare with.',
      ],
    }
  },
}
