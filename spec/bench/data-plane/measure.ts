import type { ClusterNode } from '../../support/cluster/node-process.ts'
import { opsGet } from '../../support/cluster/ops-client.ts'
import { cpuSeconds, resetPeak, residentBytes } from '../support/process-usage.ts'
import { median, round } from '../support/statistics.ts'
import { type ClientLoad, runClients } from './clients.ts'

/** Somebody who serves: who is asked, and whoever has the blob behind it. */
export interface Subject {
  readonly what: string
  /** The subject that this one is compared with. */
  readonly reference?: string
  readonly url: string
  readonly tls: readonly string[]
  /** Process ids. */
  readonly asked: number
  readonly holders: readonly number[]
  /** The asked one, where it is a node. */
  readonly node?: ClusterNode
}

export interface Round {
  readonly gbPerSecond: number
  readonly requestsPerSecond: number
  /** CPU-seconds per GB. */
  readonly asked: number
  readonly holders: number
  readonly firstByteMs: number
  readonly peakBytes: number
  /** p99 of the delay of the main thread, and the mean lookup. */
  readonly loopMs: number
  readonly lookupUs: number
}

/** The values of metrics that have no label or this one, from one reading. */
async function readMetrics(node: ClusterNode): Promise<(name: string) => number> {
  const { body } = await opsGet(node.opsSocket, '/api/v1/metrics')
  const lines = body.split('\n')
  return (name) => {
    const line = lines.find((text) => text.startsWith(`${name} `))
    return line === undefined ? Number.NaN : Number(line.slice(line.lastIndexOf(' ')))
  }
}

const loop = 'starling_event_loop_delay_seconds{quantile="0.99"}'
const lookups = 'starling_lookup_duration_seconds'

export async function measureRound(subject: Subject, load: Omit<ClientLoad, 'url' | 'tls'>): Promise<Round> {
  const { asked, holders, node, url, tls } = subject
  const before = node === undefined ? undefined : await readMetrics(node)
  const cpu = () => [asked, ...holders].map(cpuSeconds)
  const cpuBefore = cpu()
  resetPeak(asked)
  const { seconds, bytes, firstByteMs } = await runClients({ ...load, url, tls })
  const gigabytes = bytes / 1e9
  const used = cpu().map((value, index) => (value - (cpuBefore[index] ?? 0)) / gigabytes)
  const after = node === undefined ? undefined : await readMetrics(node)
  const counted = (name: string) => (after?.(name) ?? Number.NaN) - (before?.(name) ?? Number.NaN)
  return {
    gbPerSecond: gigabytes / seconds,
    requestsPerSecond: firstByteMs.length / seconds,
    asked: used[0] ?? Number.NaN,
    holders: used.slice(1).reduce((sum, value) => sum + value, 0),
    firstByteMs: median(firstByteMs),
    peakBytes: residentBytes(asked, 'VmHWM'),
    loopMs: (after?.(loop) ?? Number.NaN) * 1000,
    lookupUs: (counted(`${lookups}_sum`) / counted(`${lookups}_count`)) * 1e6,
  }
}

function summary(rounds: readonly Round[]): Round {
  const of = (pick: (round: Round) => number) =>
    median(rounds.map(pick).filter((value) => !Number.isNaN(value)))
  return {
    gbPerSecond: of((each) => each.gbPerSecond),
    requestsPerSecond: of((each) => each.requestsPerSecond),
    asked: of((each) => each.asked),
    holders: of((each) => each.holders),
    firstByteMs: of((each) => each.firstByteMs),
    peakBytes: Math.max(...rounds.map((each) => each.peakBytes)),
    loopMs: Math.max(...rounds.map((each) => each.loopMs)),
    lookupUs: of((each) => each.lookupUs),
  }
}

export const subjectColumns = [
  ...['what', 'clients', '÷ reference', 'CPU ÷ reference', 'GB/s', 'requests/s', 'asked CPU-s/GB'],
  ...['holders CPU-s/GB', 'first byte ms', 'peak RSS MiB', 'loop p99 ms', 'lookup µs'],
] as const

/** Rounds in which the subjects take turns, after one that is not counted; a row for each subject. */
export async function compare(
  subjects: readonly Subject[],
  load: Omit<ClientLoad, 'url' | 'tls'>,
  rounds: number,
): Promise<(string | number)[][]> {
  const found = new Map<string, Round[]>(subjects.map(({ what }) => [what, []]))
  for (let turn = 0; turn <= rounds; turn++) {
    for (const subject of subjects) {
      const measured = await measureRound(subject, load)
      if (turn > 0) found.get(subject.what)?.push(measured)
    }
  }
  const results = new Map([...found].map(([what, measured]) => [what, summary(measured)]))
  const show = (value: number, digits = 2) => (Number.isFinite(value) ? round(value, digits) : '-')
  return subjects.map(({ what, reference = '', holders }) => {
    const own = results.get(what) as Round
    const other = results.get(reference)
    const cpu = (each: Round) => each.asked + each.holders
    return [
      what,
      load.clients,
      other === undefined ? '-' : show(own.gbPerSecond / other.gbPerSecond),
      other === undefined ? '-' : show(cpu(own) / cpu(other)),
      show(own.gbPerSecond),
      load.requestsEach > 1 ? show(own.requestsPerSecond, 0) : '-',
      show(own.asked),
      holders.length === 0 ? '-' : show(own.holders),
      show(own.firstByteMs, 1),
      show(own.peakBytes / 2 ** 20, 0),
      show(own.loopMs, 1),
      show(own.lookupUs, 1),
    ]
  })
}
