import { join } from 'node:path'
import { runOrFail } from '../../support/processes.ts'
import { findProgram } from '../../support/requirements.ts'
import { endedChildrenCpuSeconds } from './process-usage.ts'

/** The one cipher of all TLS transfers, so that none is favoured. */
export const cipher = 'TLS_AES_256_GCM_SHA384'

export interface Download {
  readonly seconds: number
  /** Processor time of curl itself. */
  readonly cpuSeconds: number
}

/** Options of curl for a node's client certificate. */
export function curlTls(trustDir: string): string[] {
  const file = (name: string) => join(trustDir, name)
  return [
    ...['--tlsv1.3', '--tls13-ciphers', cipher, '--cacert', file('server-ca.crt')],
    ...['--cert', file('client.crt'), '--key', file('client.key')],
  ]
}

/** Downloads into /dev/null with one connection. @throws Error where it is not answered with so many bytes */
export async function download(url: string, sizeBytes: number, tls: readonly string[]): Promise<Download> {
  const curl = findProgram('curl')
  if (curl === undefined) throw new Error('curl is not installed')
  const cpuBefore = endedChildrenCpuSeconds()
  const { stdout } = await runOrFail(curl, [
    ...['--silent', '--show-error', '--fail', '--http1.1', '--output', '/dev/null'],
    ...['--write-out', '%{size_download} %{time_total}', ...tls, url],
  ])
  const cpu = endedChildrenCpuSeconds() - cpuBefore
  const [size, seconds] = stdout.split(' ').map(Number)
  if (size !== sizeBytes) throw new Error(`${url} gave ${size} bytes, not ${sizeBytes}`)
  return { seconds: seconds ?? Number.NaN, cpuSeconds: cpu }
}
