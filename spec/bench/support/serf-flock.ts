import { type ChildProcess, spawnSync } from 'node:child_process'
import { createInterface } from 'node:readline'
import { eventually } from '../../support/eventually.ts'
import { endBy, runToEnd, startOwned } from '../../support/processes.ts'
import type { AgentFlock, Loss } from './flock.ts'
import { loopbackNamespace } from './loopback-namespace.ts'

/** Starts of agents at once: each joins through the first. */
const startIntervalMs = 50

/** Is Debian's `serf` (memberlist, the reference SWIM with Lifeguard) installed? */
export function hasSerf(): boolean {
  return spawnSync('serf', ['version']).status === 0
}

interface SerfAgent {
  process: ChildProcess | undefined
  /** Whom it holds for alive. */
  readonly alive: Set<number>
}

/** Agents of serf with their defaults for local networks, encrypted as ours are, each at an address of its own. */
export async function serfFlock(size: number, key: string): Promise<AgentFlock> {
  const network = loopbackNamespace('serf')
  const losses: Loss[] = []
  const events = new Map<string, Map<number, number>>()
  const agents: SerfAgent[] = Array.from({ length: size }, () => ({ process: undefined, alive: new Set() }))
  const read = (viewer: number, line: string) => {
    const [, news] = /Received event: user-event: (\S+)/.exec(line) ?? []
    if (news !== undefined) events.get(news)?.set(viewer, performance.now())
    const [, event, name] = /serf: EventMember(Join|Failed|Leave): a(\d+) /.exec(line) ?? []
    if (event === undefined) return
    const member = Number(name)
    if (event === 'Join') agents[viewer]!.alive.add(member)
    else agents[viewer]!.alive.delete(member)
    if (event === 'Failed') losses.push({ viewer, lost: member, atMs: Date.now() })
  }
  const start = (index: number) => {
    const address = network.addressOf(index)
    const args = ['agent', `-node=a${index}`, `-bind=${address}:7946`, `-rpc-addr=${address}:7373`]
    args.push(`-encrypt=${key}`, '-log-level=info', `-retry-join=${network.addressOf(index === 0 ? 1 : 0)}`)
    args.push('-retry-interval=1s')
    const [file, ...rest] = network.commandFor(index, 'serf', args)
    const child = startOwned(file, rest, { stdio: ['ignore', 'pipe', 'ignore'] })
    if (child.stdout !== null)
      createInterface({ input: child.stdout }).on('line', (line) => read(index, line))
    agents[index]!.alive.clear()
    agents[index]!.process = child
  }
  const endAll = async () => {
    await Promise.all(agents.map(({ process }) => process && endBy(process, 'SIGKILL')))
    await network[Symbol.asyncDispose]()
  }
  const flock: AgentFlock = {
    label: 'serf',
    size,
    pidOf: (index) => agents[index]?.process?.pid ?? 0,
    async kill(index) {
      const child = agents[index]?.process
      if (child !== undefined) await endBy(child, 'SIGKILL')
    },
    pause: (index) => void agents[index]?.process?.kill('SIGSTOP'),
    resume: (index) => void agents[index]?.process?.kill('SIGCONT'),
    vanish(index) {
      network.silence(index)
      agents[index]?.process?.kill('SIGSTOP')
    },
    heal: () => network.heal(),
    async announce(index, turn) {
      const name = `news-${turn}`
      const heard = new Map<number, number>()
      events.set(name, heard)
      const args = ['event', `-rpc-addr=${network.addressOf(index)}:7373`, '-coalesce=false', name]
      const [file, ...rest] = network.commandFor(index, 'serf', args)
      await runToEnd(file, rest, { timeoutMs: 10_000 })
      const options = { timeoutMs: 30_000, intervalMs: 10, what: `all agents of serf to hear ${name}` }
      await eventually(() => heard.size === size, options)
      // From the agent's own word for it on: the command line in front of it is not what is measured.
      const startedMs = heard.get(index) ?? Number.NaN
      events.delete(name)
      return [...heard].filter(([viewer]) => viewer !== index).map(([, atMs]) => atMs - startedMs)
    },
    async restart(index) {
      start(index)
    },
    losses: () => losses,
    async waitWhole(timeoutMs) {
      const isWhole = () => agents.every(({ alive }) => alive.size === size)
      await eventually(isWhole, { timeoutMs, intervalMs: 100, what: 'all agents of serf to see all' })
    },
    sentBytes: () => network.sentBytes(),
    [Symbol.asyncDispose]: endAll,
  }
  for (let index = 0; index < size; index++) {
    start(index)
    await new Promise((resolve) => setTimeout(resolve, startIntervalMs))
  }
  return flock
}
