import type { Benchmark, Table } from './benchmark.ts'
import { failures } from './data-plane/failures.ts'
import { hashing } from './data-plane/hashing.ts'
import { lies } from './data-plane/lies.ts'
import { links } from './data-plane/links.ts'
import { compare, subjectColumns } from './data-plane/measure.ts'
import { type Scene, startScene } from './data-plane/scene.ts'
import { cipher } from './support/curl.ts'

type Log = (line: string) => void

const compared = ['local', 'proxied', 'striped', 'redirected'] as const
type Compared = (typeof compared)[number]
const small = (name: Compared) => `${name}-small`
const parts = ['hashing', ...compared, ...compared.map(small), 'failures', 'lies', 'links']

const largeBytes = 2 ** 30
const smallBytes = 2 ** 16
const smallRequests = 400
/** Moved by each round with several clients. */
const sharedBytes = 2 ** 27

/** One table for each name, of blobs of one size. */
async function compareAll(
  names: readonly Compared[],
  size: 'large' | 'small',
  log: Log,
  quick: boolean,
  rounds: number,
): Promise<Table[]> {
  if (names.length === 0) return []
  const sizeBytes = size === 'small' ? smallBytes : quick ? 2 ** 26 : largeBytes
  await using scene: Scene = await startScene(sizeBytes)
  const tables: Table[] = []
  for (const name of names) {
    const rows: (string | number)[][] = []
    for (const clients of [1, 8, 64]) {
      // A request for a range is never sent elsewhere.
      if (name === 'redirected' && size === 'large' && clients > 1) continue
      const whole = size === 'small' || clients === 1
      const load = {
        clients,
        sizeBytes,
        shareBytes: whole ? sizeBytes : Math.min(sharedBytes, sizeBytes) / clients,
        requestsEach: size === 'small' ? Math.ceil(smallRequests / clients) : 1,
      }
      rows.push(...(await compare(scene.subjects[name], load, rounds)))
      log(`${name}, ${sizeBytes / 1024} KiB, ${clients} clients`)
    }
    const what =
      size === 'small'
        ? `A blob of 64 KiB, asked for ${smallRequests} times over kept connections.`
        : `A blob of ${sizeBytes / 2 ** 20} MiB, sparse and in the page cache: one client takes the whole, 8 and 64 a range of their own each, ${Math.min(sharedBytes, sizeBytes) / 2 ** 20} MiB in all.`
    tables.push({
      part: size === 'small' ? small(name) : name,
      columns: [...subjectColumns],
      rows,
      notes: [
        `${what} Medians of ${rounds} rounds in which the subjects take turns, after one that is not counted; peak RSS and loop delay: the greatest.`,
        `HTTP/1.1, TLS 1.3 with client certificates, ${cipher}; nginx with sendfile off; curl writes to /dev/null. CPU is of all threads. Clients, nodes and references share the processors.`,
      ],
    })
  }
  return tables
}

/** How blobs get through nodes, beside nginx and docker-registry; what failures cost; and what slow links allow. */
export const dataPlane: Benchmark = {
  name: 'data-plane',
  title: 'Data plane: blobs of 1 GiB and 64 KiB, 1 to 64 clients, failures, slow links',
  parts,
  async run(log, { quick, parts: wanted = parts, rounds = quick ? 1 : 5 }) {
    const tables: Table[] = []
    if (wanted.includes('hashing')) tables.push(await hashing())
    const large = compared.filter((name) => wanted.includes(name))
    tables.push(...(await compareAll(large, 'large', log, quick, rounds)))
    const little = compared.filter((name) => wanted.includes(small(name)))
    tables.push(...(await compareAll(little, 'small', log, quick, rounds)))
    if (wanted.includes('failures')) tables.push(await failures(log, rounds))
    if (wanted.includes('lies')) tables.push(await lies(log, rounds))
    if (wanted.includes('links')) tables.push(await links(log, quick, Math.min(rounds, 3)))
    return tables
  },
}
