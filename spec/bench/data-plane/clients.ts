import { runOrFail } from '../../support/processes.ts'
import { findProgram } from '../../support/requirements.ts'

export interface ClientLoad {
  readonly url: string
  readonly tls: readonly string[]
  readonly clients: number
  /** Bytes of the blob. */
  readonly sizeBytes: number
  /** What each client takes of it; less than all is a range of its own. */
  readonly shareBytes: number
  /** How many times. */
  readonly requestsEach: number
}

export interface LoadEnd {
  readonly seconds: number
  readonly bytes: number
  /** From the request to the first byte of each answer. */
  readonly firstByteMs: readonly number[]
}

/** One curl with so many connections at once; what comes goes to /dev/null. @throws Error where an answer is not what was asked for */
export async function runClients(load: ClientLoad): Promise<LoadEnd> {
  const { url, tls, clients, sizeBytes, shareBytes, requestsEach } = load
  const curl = findProgram('curl')
  if (curl === undefined) throw new Error('curl is not installed')
  const common = [
    ...['silent', 'show-error', 'fail', 'http1.1', 'output = "/dev/null"', 'location'],
    // Only clients that are known to be fit for it are sent to a holder.
    'user-agent = "containerd/2.1.4"',
    'write-out = "%{size_download} %{time_pretransfer} %{time_starttransfer}\\n"',
    ...options(tls),
  ]
  const requests = Array.from({ length: clients * requestsEach }, (_, index) => {
    const start = (index % clients) * shareBytes
    const range = shareBytes === sizeBytes ? [] : [`range = "${start}-${start + shareBytes - 1}"`]
    return [...common, ...range, `url = "${url}"`].join('\n')
  })
  const startedMs = performance.now()
  const { stdout } = await runOrFail(
    curl,
    ['--parallel', '--parallel-immediate', '--parallel-max', String(clients), '--config', '-'],
    { input: `${requests.join('\nnext\n')}\n` },
  )
  const seconds = (performance.now() - startedMs) / 1000
  const ends = stdout
    .trim()
    .split('\n')
    .map((line) => line.split(' ').map(Number))
  const wrong = ends.find(([bytes]) => bytes !== shareBytes)
  if (ends.length !== requests.length || wrong !== undefined) {
    throw new Error(`${url}: ${ends.length} answers, one of ${wrong?.[0]} instead of ${shareBytes} bytes`)
  }
  return {
    seconds,
    bytes: ends.length * shareBytes,
    firstByteMs: ends.map(([, before = 0, first = 0]) => (first - before) * 1000),
  }
}

/** Command-line options as lines of a configuration file of curl. */
function options(args: readonly string[]): string[] {
  const lines: string[] = []
  for (let index = 0; index < args.length; index++) {
    const name = (args[index] ?? '').slice(2)
    const value = args[index + 1]
    if (value === undefined || value.startsWith('--')) lines.push(name)
    else {
      lines.push(`${name} = "${value}"`)
      index++
    }
  }
  return lines
}
