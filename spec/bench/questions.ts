import { replicaSize } from '../../lib/catalog/lookups.ts'
import { holdersOfAny, soleDigests } from '../../lib/catalog/questions.ts'
import { seededRng } from '../sim/random.ts'
import type { Benchmark } from './benchmark.ts'
import { populate } from './lookup-population.ts'

const perOrigin = 1000
const images = 1000
const digestsOfImage = 12

function median(times: readonly number[]): number {
  return Number(([...times].sort((a, b) => a - b)[Math.floor(times.length / 2)] ?? 0).toFixed(2))
}

function timed(work: () => unknown): number {
  const startedMs = performance.now()
  work()
  return performance.now() - startedMs
}

/** Memory of the replica, and questions about all inventories, at two sizes of the cluster. */
export const questions: Benchmark = {
  name: 'questions',
  title: `Catalog: memory, and questions about all inventories, ${perOrigin} digests a node`,
  async run(log, { quick }) {
    const rows: (string | number)[][] = []
    for (const origins of quick ? [1000] : [5000, 10_000]) {
      log(`filling a replica with ${origins} × ${perOrigin} digests`)
      const rng = seededRng(2026)
      const { state, digests, peers } = populate(origins, perOrigin, rng)
      const size = replicaSize(state)
      const forDigests = state.digests.table.sizeBytes
      const draw = <T>(list: readonly T[]) => list[Math.floor(rng.next() * list.length)]!
      const base = digests.slice(0, perOrigin / 5)
      const image = () => Array.from({ length: digestsOfImage }, (_, at) => draw(at < 8 ? base : digests))
      const whole = Array.from({ length: 5 }, () =>
        timed(() => {
          for (let each = 0; each < images; each += 1) holdersOfAny(state, [image()])
        }),
      )
      const sole = Array.from({ length: 21 }, () => timed(() => [...soleDigests(state, draw(peers))]))
      rows.push([
        origins,
        size.pairs,
        size.digests,
        Number(((size.sizeBytes - forDigests) / size.pairs).toFixed(2)),
        Number((forDigests / size.digests).toFixed(1)),
        Number((size.sizeBytes / 2 ** 20).toFixed(0)),
        Number((median(whole) / images).toFixed(3)),
        median(sole),
      ])
    }
    return {
      columns: [
        'nodes',
        'pairs',
        'digests',
        'bytes a pair',
        'bytes a digest',
        'MiB',
        'ms: who has an image whole',
        'ms: what a node alone holds',
      ],
      rows,
      notes: [
        `An image is ${digestsOfImage} digests, eight of them of base images; median of ${images} images at once, and of 21 nodes.`,
        'A fifth of each inventory are base images that nine nodes in ten hold, the rest follows Zipf (0.9).',
      ],
    }
  },
}
