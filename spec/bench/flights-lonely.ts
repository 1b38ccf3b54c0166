import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { Agent, request } from 'node:https'
import { type Lab, registry, startLab } from '../integration/containerd-lab.ts'
import { buildImage } from '../support/oci-image.ts'
import type { Benchmark } from './benchmark.ts'
import { median, quantile, round } from './support/statistics.ts'

const layersOfImage = 24
let images = 0

/** Milliseconds that a mirror takes to say that nobody has a blob, for one blob after the other. */
async function answerTimes(lab: Lab, count: number): Promise<number[]> {
  const { starling } = lab.node(0)
  const agent = new Agent({ keepAlive: true, maxSockets: 1, ...(await starling.clientTls()) })
  const times: number[] = []
  for (let index = 0; index < count; index++) {
    const digest = `sha256:${createHash('sha256').update(randomBytes(16)).digest('hex')}`
    const startedMs = performance.now()
    const outgoing = request(`${starling.registryUrl}/v2/team/none/blobs/${digest}?ns=${registry}`, { agent })
    outgoing.end()
    const [response] = await once(outgoing, 'response')
    if (response.statusCode !== 404) throw new Error(`the mirror answered ${response.statusCode}`)
    await once(response.resume(), 'end')
    times.push(performance.now() - startedMs)
  }
  agent.destroy()
  return times
}

/** Milliseconds of a pull that nobody else makes, for each of its blobs. */
async function pullTimes(lab: Lab, count: number): Promise<number[]> {
  const times: number[] = []
  for (let index = 0; index < count; index++) {
    const target = `bench/lonely:${++images}`
    const layers = Array.from({ length: layersOfImage }, () => ({ sizeBytes: 20_000 }))
    await lab.push(target, await buildImage({ seed: `${target} ${process.pid}`, layers }))
    const startedMs = performance.now()
    await lab.fetch(0, `${registry}/${target}`)
    times.push((performance.now() - startedMs) / (layersOfImage + 2))
  }
  return times
}

/** Runs `measure` while the other nodes are stopped, and again and again until `count` values are there. */
async function whileSilent(lab: Lab, count: number, measure: () => Promise<number[]>): Promise<number[]> {
  const times: number[] = []
  while (times.length < count) {
    const pids = lab.nodes.slice(1).flatMap(({ starling }) => starling.pid ?? [])
    for (const pid of pids) process.kill(pid, 'SIGSTOP')
    times.push(...(await measure()))
    for (const pid of pids) process.kill(pid, 'SIGCONT')
    await lab.cluster.waitWhole()
  }
  return times
}

/** What flights add to a pull that is alone. */
export const flightsLonely: Benchmark = {
  name: 'flights-lonely',
  title: 'A blob that nobody has and nobody else wants: what flights add to it',
  async run(log, { quick }) {
    const rounds = quick ? 3 : 9
    const asked = quick ? 100 : 400
    const rows: (string | number)[][] = []
    for (const on of [false, true]) {
      const configure = (config: Readonly<Record<string, unknown>>) => ({ ...config, flights: on })
      await using lab = await startLab({ nodes: 2, configure })
      await answerTimes(lab, 50)
      await pullTimes(lab, 1)
      const add = (what: string, times: readonly number[]): void => {
        rows.push([
          what,
          on ? 'on' : 'off',
          round(median(times)),
          round(quantile(times, 0.9)),
          round(Math.max(...times)),
        ])
        log(rows.at(-1)?.join(' ') ?? '')
      }
      add('404 of the mirror', await answerTimes(lab, asked))
      add(`pull of ${layersOfImage} small layers, a blob`, await pullTimes(lab, rounds))
      add('404, the other node silent', await whileSilent(lab, asked / 4, () => answerTimes(lab, 25)))
      add('pull, the other node silent, a blob', await whileSilent(lab, rounds, () => pullTimes(lab, 1)))
    }
    return {
      columns: ['what', 'flights', 'median ms', '90 % within ms', 'slowest ms'],
      rows,
      notes: [
        'Two nodes with real containerds; blobs of 20 kB, fetched as containerd does, three at a time. "Silent" is a process that is stopped and not known to be dead yet: it is first choice for every second blob.',
      ],
    }
  },
}
