import { openSync } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { request } from 'node:https'
import { join } from 'node:path'
import { stringify } from 'yaml'
import type { ClusterNode } from '../../support/cluster/node-process.ts'
import { eventually } from '../../support/eventually.ts'
import { endOwned, startOwned } from '../../support/processes.ts'

export interface PullThrough extends AsyncDisposable {
  readonly pid: number
  /** `https://address:port` */
  readonly url: string
}

/** Debian's docker-registry as a pull-through cache, with the certificates of a node and client certificates asked for. */
export async function startPullThrough(options: {
  readonly dir: string
  readonly node: ClusterNode
  readonly port: number
  readonly upstreamUrl: string
}): Promise<PullThrough> {
  const { dir, node, port, upstreamUrl } = options
  await mkdir(dir, { recursive: true })
  const trust = (name: string) => join(node.trustDir, name)
  const file = join(dir, 'config.yaml')
  await writeFile(
    file,
    stringify({
      version: 0.1,
      log: { level: 'error', accesslog: { disabled: true } },
      storage: { filesystem: { rootdirectory: join(dir, 'storage') } },
      proxy: { remoteurl: upstreamUrl },
      http: {
        addr: `${node.address}:${port}`,
        secret: 'bench',
        tls: {
          certificate: trust('serving.crt'),
          key: trust('serving.key'),
          clientcas: [trust('client-ca.crt')],
          minimumtls: 'tls1.3',
        },
      },
    }),
  )
  const log = openSync(join(dir, 'log'), 'a')
  const child = startOwned('docker-registry', ['serve', file], {
    stdio: ['ignore', log, log],
    env: { PATH: process.env.PATH ?? '', OTEL_TRACES_EXPORTER: 'none' },
  })
  const url = `https://${node.address}:${port}`
  const tls = await node.clientTls()
  const answers = () =>
    new Promise<boolean>((resolve) => {
      const outgoing = request(`${url}/v2/`, { ...tls, agent: false })
      outgoing.once('response', (response) => resolve(response.resume().statusCode === 200))
      outgoing.once('error', () => resolve(false))
      outgoing.end()
    })
  await eventually(answers, { what: 'docker-registry as a pull-through cache', timeoutMs: 20_000 })
  return { pid: child.pid ?? 0, url, [Symbol.asyncDispose]: () => endOwned(child) }
}
