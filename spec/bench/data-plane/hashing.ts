import { runOrFail } from '../../support/processes.ts'
import type { Table } from '../benchmark.ts'
import { round } from '../support/statistics.ts'

/** What a pass of SHA-256 costs on this machine, by OpenSSL's own measurement. */
export async function hashing(): Promise<Table> {
  const { stdout } = await runOrFail('openssl', ['speed', '-seconds', '3', '-bytes', '16384', 'sha256'])
  const kilobytes = Number(/^sha256\s+([\d.]+)k/m.exec(stdout)?.[1])
  return {
    part: 'hashing',
    columns: ['what', 'GB/s', 'CPU-s/GB'],
    rows: [['openssl speed sha256, 16 KiB', round(kilobytes / 1e6), round(1e6 / kilobytes)]],
  }
}
