import type { Benchmark, Table } from './benchmark.ts'
import { failures } from './data-plane/failures.ts'
import { hashing } from './data-plane/hashing.ts'
import { links } from './data-plane/links.ts'
import { compare, subjectColumns } from './data-plane/measure.ts'
import { type Scene, startScene } from './data-plane/scene.ts'
import { cipher } from './support/curl.ts'

type Log = (line: string) => void

const compared = ['local', 'proxied', 'striped', 'redirected'] as const
const parts = ['hashing', ...compared, 'failures', 'links'] as const

const largeBytes = 2 ** 30
const smallBytes = 2 ** 16
const smallRequests = 400
/** Moved by each round with several clients. */
const sharedBytes = 2 ** 28

async function compareAll(
  names: readonly (typeof compared)[number][],
  log: Log,
  quick: boolean,
): Promise<Table[]> {
  const rows = new Map(names.map((name) => [name, [] as (string | number)[][]]))
  const rounds = quick ? 1 : 5
  const sizes = quick ? [2 ** 26, smallBytes] : [largeBytes, smallBytes]
  for (const sizeBytes of sizes) {
    await using scene: Scene = await startScene(sizeBytes)
    const small = sizeBytes === smallBytes
    const size = small ? '64 KiB' : `${sizeBytes / 2 ** 20} MiB`
    for (const name of names) {
      for (const clients of [1, 8, 64]) {
        // A request for a range is never sent elsewhere.
        if (name === 'redirected' && !small && clients > 1) continue
        const shareBytes = small || clients === 1 ? sizeBytes : Math.min(sharedBytes, sizeBytes) / clients
        const requestsEach = small ? Math.ceil(smallRequests / clients) : 1
        const load = { clients, sizeBytes, shareBytes, requestsEach }
        for (const row of await compare(scene.subjects[name], load, rounds)) {
          rows.get(name)?.push([size, ...row])
        }
        log(`${name}, ${size}, ${clients} clients`)
      }
    }
  }
  return names.map((name) => ({
    part: name,
    columns: ['blob', ...subjectColumns],
    rows: rows.get(name) ?? [],
    notes: [
      `Medians of ${rounds} rounds in which the subjects take turns, after one that is not counted; peak RSS and loop delay: the greatest. One client takes the whole blob; 8 and 64 take a range of their own each, ${Math.min(sharedBytes, sizes[0] ?? 0) / 2 ** 20} MiB in all. Blobs of 64 KiB are asked for ${smallRequests} times over kept connections.`,
      `HTTP/1.1, TLS 1.3 with client certificates, ${cipher}; nginx with sendfile off; sparse files in the page cache; curl writes to /dev/null. CPU is of all threads. Clients, nodes and references share the processors.`,
    ],
  }))
}

/** How blobs get through nodes, beside nginx and docker-registry; what failures cost; and what slow links allow. */
export const dataPlane: Benchmark = {
  name: 'data-plane',
  title: 'Data plane: blobs of 1 GiB and 64 KiB, 1 to 64 clients, failures, slow links',
  parts,
  async run(log, { quick, parts: wanted = parts }) {
    const tables: Table[] = []
    if (wanted.includes('hashing')) tables.push(await hashing())
    const names = compared.filter((name) => wanted.includes(name))
    if (names.length > 0) tables.push(...(await compareAll(names, log, quick)))
    if (wanted.includes('failures')) tables.push(await failures(log, quick))
    if (wanted.includes('links')) tables.push(await links(log, quick))
    return tables
  },
}
