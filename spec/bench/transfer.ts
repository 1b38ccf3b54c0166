import { join } from 'node:path'
import type { Benchmark } from './benchmark.ts'
import { benchCluster, shareBlob } from './support/bench-cluster.ts'
import { cipher, curlTls, download } from './support/curl.ts'
import { hasNginx, startNginx } from './support/nginx.ts'
import { cpuSeconds } from './support/process-usage.ts'
import { median, round } from './support/statistics.ts'

const fullSizeBytes = 512 * 2 ** 20
const quickSizeBytes = 128 * 2 ** 20

interface Case {
  readonly what: string
  readonly url: string
  readonly tls: readonly string[]
  /** Process ids: whoever has the file, and whoever passes it on. */
  readonly holder?: number
  readonly proxy?: number
  /** The case that this one is compared with. */
  readonly reference?: string
}

interface Figures {
  readonly gbPerSecond: number
  /** CPU-seconds per GB. */
  readonly holder: number | undefined
  readonly proxy: number | undefined
  readonly curl: number
}

async function measureOnce(item: Case, sizeBytes: number): Promise<Figures> {
  const gigabytes = sizeBytes / 1e9
  const pids = [item.holder, item.proxy]
  const before = pids.map((pid) => (pid === undefined ? undefined : cpuSeconds(pid)))
  const { seconds, cpuSeconds: curl } = await download(item.url, sizeBytes, item.tls)
  const [holder, proxy] = pids.map((pid, index) =>
    pid === undefined ? undefined : (cpuSeconds(pid) - (before[index] ?? 0)) / gigabytes,
  )
  return { gbPerSecond: gigabytes / seconds, holder, proxy, curl: curl / gigabytes }
}

function summarise(rounds: readonly Figures[]): Figures {
  const of = (pick: (figures: Figures) => number | undefined) => {
    const values = rounds.map(pick).filter((value) => value !== undefined)
    return values.length === 0 ? undefined : median(values)
  }
  return {
    gbPerSecond: of((figures) => figures.gbPerSecond) ?? Number.NaN,
    curl: of((figures) => figures.curl) ?? Number.NaN,
    holder: of((figures) => figures.holder),
    proxy: of((figures) => figures.proxy),
  }
}

const serverCpu = ({ holder, proxy }: Figures): number => (holder ?? 0) + (proxy ?? 0)

/** A large blob over mutual TLS from a node that has it and through one that has not, next to nginx and to curl alone. */
export const transfer: Benchmark = {
  name: 'transfer',
  title: 'Data plane: one large blob, one connection',
  async run(log, { quick }) {
    const sizeBytes = quick ? quickSizeBytes : fullSizeBytes
    const rounds = quick ? 3 : 7
    await using cluster = await benchCluster(2)
    const [holder, requester] = [cluster.node(0), cluster.node(1)]
    const blob = await shareBlob(holder, [requester], sizeBytes)
    const folder = join(holder.dir, 'oci', 'blobs', 'sha256')
    const file = blob.digest.replace('sha256:', '')
    const { address, trustDir } = holder
    const tls = curlTls(trustDir)

    await using servers = new AsyncDisposableStack()
    const cases: Case[] = [{ what: 'curl, straight from the file', url: `file://${folder}/${file}`, tls: [] }]
    if (hasNginx()) {
      const origin = servers.use(
        await startNginx({
          dir: join(cluster.dir, 'nginx'),
          address,
          tlsPort: 8443,
          clearPort: 8080,
          trustDir,
          from: { folder },
        }),
      )
      const proxy = servers.use(
        await startNginx({
          dir: join(cluster.dir, 'nginx-proxy'),
          address: requester.address,
          tlsPort: 8443,
          trustDir: requester.trustDir,
          from: { upstream: `https://${address}:8443`, name: holder.name },
        }),
      )
      cases.push(
        { what: 'nginx, in clear', url: `http://${address}:8080/${file}`, tls: [], holder: origin.pid },
        { what: 'nginx, mutual TLS', url: `https://${address}:8443/${file}`, tls, holder: origin.pid },
        {
          what: 'nginx before nginx, mutual TLS twice',
          url: `https://${requester.address}:8443/${file}`,
          tls: curlTls(requester.trustDir),
          holder: origin.pid,
          proxy: proxy.pid,
        },
      )
    }
    cases.push(
      {
        what: 'Starling, local blob',
        url: `${holder.registryUrl}${blob.path}`,
        tls,
        holder: holder.pid ?? 0,
        reference: 'nginx, mutual TLS',
      },
      {
        what: 'Starling, through the proxy (bytes checked)',
        url: `${requester.registryUrl}${blob.path}`,
        tls: curlTls(requester.trustDir),
        holder: holder.pid ?? 0,
        proxy: requester.pid ?? 0,
        reference: 'nginx before nginx, mutual TLS twice',
      },
    )

    const found = new Map<string, Figures[]>(cases.map(({ what }) => [what, []]))
    for (let turn = 0; turn <= rounds; turn += 1) {
      for (const item of cases) {
        const figures = await measureOnce(item, sizeBytes)
        // The first turn fills caches and lets the JavaScript be compiled.
        if (turn > 0) found.get(item.what)?.push(figures)
      }
      log(`round ${turn} of ${rounds}`)
    }
    const results = new Map([...found].map(([what, figures]) => [what, summarise(figures)]))
    const rows = cases.map(({ what, reference = '' }) => {
      const own = results.get(what) as Figures
      const other = results.get(reference)
      const show = (value: number | undefined) => (value === undefined ? '-' : round(value))
      return [
        what,
        other === undefined ? '-' : round(own.gbPerSecond / other.gbPerSecond),
        other === undefined ? '-' : round(serverCpu(own) / serverCpu(other)),
        round(own.gbPerSecond),
        show(own.holder),
        show(own.proxy),
        round(own.curl),
      ]
    })
    return {
      columns: [
        'what',
        'speed ÷ nginx',
        'CPU ÷ nginx',
        'GB/s',
        'holder CPU-s/GB',
        'proxy CPU-s/GB',
        'curl CPU-s/GB',
      ],
      rows,
      notes: [
        `${sizeBytes / 2 ** 20} MiB of random bytes (GB = 10^9 bytes), medians of ${rounds} rounds in which the cases take turns; one round before that is not counted. The file is in the page cache.`,
        `HTTP/1.1, TLS 1.3 with client certificates, ${cipher}; nginx with sendfile off, reads of 256 KiB and one process; curl writes to /dev/null.`,
        'CPU is user and system time of all threads (/proc/PID/stat). Nodes run built JavaScript. nginx passes bytes on unseen; the proxying node checks SHA-256 over all of them.',
      ],
    }
  },
}
