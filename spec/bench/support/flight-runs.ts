import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { type Digest, digestHex } from '../../../lib/core/digest.ts'
import { type Lab, type LabNode, registry, startLab } from '../../integration/containerd-lab.ts'
import { leaderOf } from '../../integration/flights-lab.ts'
import { namespaceNetwork } from '../../support/cluster/namespaces.ts'
import { buildImage } from '../../support/oci-image.ts'
import { cpuSeconds, resetPeak, residentBytes } from './process-usage.ts'
import { quantile } from './statistics.ts'

export const mib = 2 ** 20

/** Links and upstream, as parts of 200 and 100 Mbit/s. */
export interface FlightRates {
  readonly linkMbit: number
  readonly upstreamMbit: number
}

export function ratesOf(divisor: number): FlightRates {
  return { linkMbit: 200 / divisor, upstreamMbit: 100 / divisor }
}

const bytesPerSecond = (mbit: number): number => mbit * 125_000

/** A pull of one new image by some nodes at once. */
export interface FlightRun {
  /** Sizes of the layers in bytes. */
  readonly layers: readonly number[]
  /** The first nodes, as many as this, have it before. */
  readonly holders: number
  /** Indexes of those that pull it. */
  readonly pullers: readonly number[]
  /** Starling and containerd of who leads the first layer are killed once it has this part of it. */
  readonly killLeaderAt?: number
}

export interface FlightFigures {
  /** Seconds until the last one that was not killed had it, unpacked. */
  readonly makespan: number
  /** Seconds until the last layer was whole in the content store of the last of them: what comes after is containerd's unpacking. */
  readonly fetched: number
  readonly p50: number
  readonly copies: number
  /** Of the busiest node: processor seconds of its Starling, its memory and the bytes that it sent, as copies of the image. */
  readonly cpu: number
  readonly memoryMib: number
  readonly sentCopies: number
  /** How busy the whole machine was, with what else ran on it. */
  readonly machine: number
}

/** What links alone allow: upstream once, or a holder's uplink once. In seconds. */
export function idealSeconds({ layers, holders }: FlightRun, rates: FlightRates): number {
  const sizeBytes = layers.reduce((sum, size) => sum + size, 0)
  return sizeBytes / bytesPerSecond(holders > 0 ? rates.linkMbit : rates.upstreamMbit)
}

/** Real nodes with containerds in namespaces whose links, and whose upstream, have these rates. */
export async function withFlightLab<T>(
  options: { readonly nodes: number; readonly rates: FlightRates; readonly flights: boolean },
  work: (lab: Lab) => Promise<T>,
): Promise<T> {
  const { nodes, rates, flights } = options
  await using network = await namespaceNetwork(nodes, { rate: `${rates.linkMbit}mbit` })
  const configure = (config: Readonly<Record<string, unknown>>) => ({ ...config, flights })
  const upstream = bytesPerSecond(rates.upstreamMbit)
  const started = Math.min(nodes, startedAtOnce)
  const shared = { network, bytesPerSecond: upstream, configure, pullTimeoutMs }
  await using lab = await startLab({ nodes, started, ...shared })
  for (let first = started; first < nodes; first += startedAtOnce) {
    const next = lab.nodes.slice(first, first + startedAtOnce)
    await Promise.all(next.map(({ starling }) => starling.start()))
  }
  await lab.cluster.waitWhole(undefined, 60_000)
  return await work(lab)
}

/** Without flights all copies come through upstream one after the other. */
const pullTimeoutMs = 1_200_000

/** More nodes that start on one small machine keep one another from being ready in time. */
const startedAtOnce = 5

let images = 0

export async function runFlight(lab: Lab, run: FlightRun): Promise<FlightFigures> {
  const target = `bench/new:${++images}`
  const seed = `${target} ${process.pid}`
  const image = await buildImage({ seed, layers: run.layers.map((sizeBytes) => ({ sizeBytes })) })
  await lab.push(target, image)
  const name = `${registry}/${target}`
  for (let index = 0; index < run.holders; index++) await lab.node(index).containerd.pull(name)
  const nodes = run.pullers.map((index) => lab.node(index))
  const watched = [...new Set([...lab.nodes.slice(0, run.holders), ...nodes])]
  const pids = watched.flatMap(({ starling }) => starling.pid ?? [])
  for (const pid of pids) resetPeak(pid)
  const cpuBefore = pids.map(cpuSeconds)
  const sentBefore = pids.map(sentBytes)
  const machineBefore = machineTimes()
  lab.upstream.forget()
  const ended = new AbortController()
  const startedMs = performance.now()
  const pulls = nodes.map(async (node) => {
    const done = node.containerd.pull(name).then(
      () => 'pulled' as const,
      (error: unknown) => error,
    )
    return { node, how: await done, seconds: (performance.now() - startedMs) / 1000 }
  })
  const digests = image.layers.map(({ digest }) => digest)
  const fetches = nodes.map((node) => wholeAt(node, digests, ended.signal))
  const [first] = image.layers
  const killed =
    run.killLeaderAt === undefined || first === undefined
      ? undefined
      : await leaderOf(first.digest, nodes, run.killLeaderAt * (run.layers[0] ?? 0))
  if (killed !== undefined) await Promise.all([killed.starling.kill(), killed.containerd.kill()])
  const outcomes = (await Promise.all(pulls)).filter(({ node }) => node !== killed)
  ended.abort()
  const wholeMs = (await Promise.all(fetches)).filter((_, index) => nodes[index] !== killed)
  for (const { node, how } of outcomes)
    if (how !== 'pulled') throw new Error(`the pull of ${node.starling.name} failed`, { cause: how })
  const machine = busyShare(machineBefore, machineTimes())
  const living = pids.map((pid, index) => ({ pid, index })).filter(({ pid }) => pid !== killed?.starling.pid)
  const usage = living.flatMap(({ pid, index }) => {
    if (killed !== undefined && !isAlive(pid)) return []
    const cpu = cpuSeconds(pid) - (cpuBefore[index] ?? 0)
    return [
      { cpu, sent: sentBytes(pid) - (sentBefore[index] ?? 0), memory: residentBytes(pid, 'VmHWM') / mib },
    ]
  })
  if (killed !== undefined) {
    await killed.containerd.restart()
    await killed.starling.start()
    await lab.cluster.waitWhole()
  }
  for (const { containerd } of lab.nodes) await containerd.ctr('images', 'rm', '--sync', name).catch(() => {})
  const seconds = outcomes.map((pull) => pull.seconds)
  const sizeBytes = [...image.blobs.values()].reduce((sum, { descriptor }) => sum + descriptor.size, 0)
  return {
    makespan: Math.max(...seconds),
    fetched: (Math.max(...wholeMs) - startedMs) / 1000,
    p50: quantile(seconds, 0.5),
    copies: lab.upstream.requests().reduce((sum, { bytes }) => sum + bytes, 0) / sizeBytes,
    cpu: Math.max(...usage.map(({ cpu }) => cpu)),
    memoryMib: Math.max(...usage.map(({ memory }) => memory)),
    sentCopies: Math.max(...usage.map(({ sent }) => sent)) / sizeBytes,
    machine,
  }
}

const wholePollMs = 100

/** When all these blobs were in the content store of a node (`performance.now`), by looking again and again until then. */
async function wholeAt(
  { containerd }: LabNode,
  digests: readonly Digest[],
  signal: AbortSignal,
): Promise<number> {
  const files = digests.map((digest) => join(containerd.contentPath, 'blobs', 'sha256', digestHex(digest)))
  while (!files.every((file) => existsSync(file)) && !signal.aborted) await delay(wholePollMs)
  return performance.now()
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

/** Bytes that left the namespace of this process over its link (proc(5), /proc/PID/net/dev). */
function sentBytes(pid: number): number {
  const line = /^ *eth0:(.*)$/m.exec(readFileSync(`/proc/${pid}/net/dev`, 'utf8'))
  return Number(line?.[1]?.trim().split(/\s+/)[8] ?? Number.NaN)
}

interface MachineTimes {
  readonly all: number
  readonly idle: number
}

function machineTimes(): MachineTimes {
  const fields =
    /^cpu (.*)$/m.exec(readFileSync('/proc/stat', 'utf8'))?.[1]?.trim().split(/\s+/).map(Number) ?? []
  const all = fields.slice(0, 8).reduce((sum, value) => sum + value, 0)
  return { all, idle: (fields[3] ?? 0) + (fields[4] ?? 0) }
}

function busyShare(before: MachineTimes, after: MachineTimes): number {
  return 1 - (after.idle - before.idle) / Math.max(1, after.all - before.all)
}
