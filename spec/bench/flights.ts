import type { Lab } from '../integration/containerd-lab.ts'
import type { Benchmark } from './benchmark.ts'
import {
  type FlightFigures,
  type FlightRun,
  idealSeconds,
  mib,
  ratesOf,
  runFlight,
  withFlightLab,
} from './support/flight-runs.ts'
import { median, round } from './support/statistics.ts'

interface Setting {
  readonly nodes: number
  /** Rates, and sizes with them, are these parts of 200 and 100 Mbit/s and 200 MiB. */
  readonly divisor: number
  readonly rounds: number
}

const columns = [
  'image',
  'flights',
  'nodes',
  'ideal s',
  'all done s',
  'all fetched s',
  '÷ ideal',
  'slowest round s',
  'p50 s',
  'copies from upstream',
  'most sent by one, copies',
  'CPU s of the busiest node',
  'its memory MiB',
  'machine busy %',
]

/** `alone`, or who has it and whether flights are on. */
const partNames = ['alone', 'new-on', 'held-on', 'new-off', 'held-off'] as const

async function measure(
  lab: Lab,
  setting: Setting,
  run: FlightRun,
  log: (line: string) => void,
  on: boolean,
): Promise<(string | number)[]> {
  const runs: FlightFigures[] = []
  for (let index = 0; index < setting.rounds; index++) {
    runs.push(await runFlight(lab, run))
    log(`flights ${on ? 'on' : 'off'}, ${run.pullers.length} nodes: ${JSON.stringify(runs.at(-1))}`)
  }
  const of = (pick: (figures: FlightFigures) => number) => round(median(runs.map(pick)))
  const ideal = idealSeconds(run, ratesOf(setting.divisor))
  const makespan = of((figures) => figures.makespan)
  return [
    `${run.layers.length} × ${round((run.layers[0] ?? 0) / mib, 1)} MiB, ${run.holders === 0 ? 'nobody has it' : 'one has it'}`,
    on ? 'on' : 'off',
    run.pullers.length,
    round(ideal),
    makespan,
    of(({ fetched }) => fetched),
    round(makespan / ideal),
    round(Math.max(...runs.map((figures) => figures.makespan))),
    of(({ p50 }) => p50),
    of(({ copies }) => copies),
    of(({ sentCopies }) => sentCopies),
    of(({ cpu }) => cpu),
    of(({ memoryMib }) => memoryMib),
    of(({ machine }) => machine * 100),
  ]
}

function newImageBenchmark(name: string, setting: Setting): Benchmark {
  const { linkMbit, upstreamMbit } = ratesOf(setting.divisor)
  return {
    name,
    title: `A new image pulled by ${setting.nodes} nodes at once: links of ${linkMbit} Mbit/s, upstream of ${upstreamMbit} Mbit/s`,
    parts: partNames,
    async run(log, { quick, parts, rounds = setting.rounds }) {
      const small = quick ? 8 : 1
      const used = quick
        ? { ...setting, nodes: Math.min(4, setting.nodes), rounds: 1 }
        : { ...setting, rounds }
      const size = mib / setting.divisor / small
      const shapes = [[200 * size], Array<number>(4).fill(25 * size)]
      const all = Array.from({ length: used.nodes }, (_, index) => index)
      const isWanted = (part: string) => parts === undefined || parts.length === 0 || parts.includes(part)
      const rows: (string | number)[][] = []
      for (const on of [true, false]) {
        const wanted = partNames.filter((part) => isWanted(part) && (part.endsWith('off') ? !on : on))
        if (wanted.length === 0) continue
        await withFlightLab(
          { nodes: used.nodes, rates: ratesOf(setting.divisor), flights: on },
          async (lab) => {
            for (const part of wanted) {
              const holders = part.startsWith('held') ? 1 : 0
              const pullers = part === 'alone' ? [0] : all.slice(holders)
              for (const layers of shapes)
                rows.push(await measure(lab, used, { layers, holders, pullers }, log, on))
            }
          },
        )
      }
      return {
        columns,
        rows,
        notes: [
          `Network namespaces with a token bucket of ${linkMbit} Mbit/s each way, real containerds (ctr images pull, with unpacking), docker-registry behind a proxy of ${upstreamMbit} Mbit/s; medians of ${used.rounds}.`,
          'All nodes share the processors of one machine; the ideal counts the links alone. Rows of one node are a pull that is alone.',
        ],
      }
    },
  }
}

/** With links as fast as eight containerds on one small machine can hardly fill. */
export const flights = newImageBenchmark('flights', { nodes: 8, divisor: 1, rounds: 3 })
/** The same in proportion, where the links bind and not the processors. */
export const flightsQuarter = newImageBenchmark('flights-quarter', { nodes: 8, divisor: 4, rounds: 3 })
export const flightsTwenty = newImageBenchmark('flights-twenty', { nodes: 20, divisor: 8, rounds: 3 })

/** Half of the layer has come when its leader is killed; compared with the same pull in peace. */
export const flightsKilled: Benchmark = {
  name: 'flights-killed',
  title: 'A new image pulled by eight nodes at once, and the node that leads is killed at half',
  async run(log, { quick, rounds: wanted = 3 }) {
    const divisor = 4
    const nodes = quick ? 4 : 8
    const rounds = quick ? 1 : wanted
    const layers = [((quick ? 25 : 200) * mib) / divisor]
    const pullers = Array.from({ length: nodes }, (_, index) => index)
    const rates = ratesOf(divisor)
    const times = { peace: [] as number[], killed: [] as number[] }
    await withFlightLab({ nodes, rates, flights: true }, async (lab) => {
      for (let index = 0; index < rounds; index++) {
        for (const [how, more] of [
          ['peace', {}],
          ['killed', { killLeaderAt: 0.5 }],
        ] as const) {
          const figures = await runFlight(lab, { layers, holders: 0, pullers, ...more })
          times[how].push(figures.makespan)
          log(`${how}: ${JSON.stringify(figures)}`)
        }
      }
    })
    const [peace, killed] = [median(times.peace), median(times.killed)]
    return {
      columns: ['in peace s', 'leader killed s', 'added s', 'most added s'],
      rows: [[round(peace), round(killed), round(killed - peace), round(Math.max(...times.killed) - peace)]],
      notes: [
        `Links of ${rates.linkMbit} Mbit/s, upstream of ${rates.upstreamMbit} Mbit/s, one layer of ${round((layers[0] ?? 0) / mib, 1)} MiB; medians of ${rounds}.`,
      ],
    }
  },
}
