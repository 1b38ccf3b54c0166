import type { ChildProcess } from 'node:child_process'
import { closeSync, openSync, readFileSync } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { request as httpRequest } from 'node:http'
import { request as httpsRequest } from 'node:https'
import { join } from 'node:path'
import { stringify } from 'yaml'
import { type Digest, digestHex } from '../../lib/core/digest.ts'
import { eventually } from './eventually.ts'
import { endOwned, isRunning, runOrFail, startOwned } from './processes.ts'

export interface UpstreamOptions {
  readonly dir: string
  /** IP address to listen on. */
  readonly address: string
  readonly port: number
  /** Files of a certificate and its key; without them it speaks plain HTTP. */
  readonly tls?: { readonly certFile: string; readonly keyFile: string }
  /** Names and passwords (bcrypt) that may pull; without the file everybody may. */
  readonly htpasswdFile?: string
  /** Where the blobs are; default in `dir`. Several may read one. */
  readonly storageDir?: string
}

/** One request, from the access log. */
export interface UpstreamRequest {
  readonly method: string
  readonly path: string
  readonly status: number
  readonly bytes: number
}

/** Debian's docker-registry as the registry that is mirrored: a process of its own with its storage in `dir`. */
export interface UpstreamRegistry extends AsyncDisposable {
  /** `address:port` */
  readonly host: string
  start(): Promise<void>
  stop(): Promise<void>
  /** Requests since the start or the last `forget`, oldest first. */
  requests(): UpstreamRequest[]
  forget(): void
  /** Where the bytes of a blob are. */
  blobFile(digest: Digest): string
  /** Copies an image of an OCI layout (`layout`, with its name there) to `repository:tag`. Needs skopeo. */
  push(layout: string, nameInLayout: string, target: string): Promise<void>
}

const logPattern = /"([A-Z]+) (\S+) HTTP\/[\d.]+" (\d{3}) (\d+|-)/

function parseAccessLog(text: string): UpstreamRequest[] {
  return text.split('\n').flatMap((line) => {
    const match = logPattern.exec(line)
    if (match === null) return []
    const [, method = '', path = '', status, bytes] = match
    return [{ method, path, status: Number(status), bytes: bytes === '-' ? 0 : Number(bytes) }]
  })
}

function configText(options: UpstreamOptions): string {
  const { address, port, tls, dir, htpasswdFile, storageDir = join(dir, 'storage') } = options
  return stringify({
    version: 0.1,
    log: { level: 'warn', accesslog: { disabled: false } },
    storage: { filesystem: { rootdirectory: storageDir }, delete: { enabled: true } },
    ...(htpasswdFile === undefined ? {} : { auth: { htpasswd: { realm: 'test', path: htpasswdFile } } }),
    http: {
      addr: `${address}:${port}`,
      ...(tls === undefined ? {} : { tls: { certificate: tls.certFile, key: tls.keyFile } }),
    },
  })
}

function answers(options: UpstreamOptions): Promise<boolean> {
  const { address, port, tls, htpasswdFile } = options
  return new Promise((resolve, reject) => {
    const where = { host: address, port, path: '/v2/', agent: false as const, timeout: 2000 }
    const outgoing =
      tls === undefined ? httpRequest(where) : httpsRequest({ ...where, rejectUnauthorized: false })
    outgoing.once('response', (response) =>
      resolve(response.resume().statusCode === (htpasswdFile === undefined ? 200 : 401)),
    )
    outgoing.once('timeout', () => outgoing.destroy(new Error('time-out')))
    outgoing.once('error', reject)
    outgoing.end()
  })
}

/** @throws Error with its output where it does not start */
export async function startUpstreamRegistry(options: UpstreamOptions): Promise<UpstreamRegistry> {
  const { dir, address, port } = options
  const host = `${address}:${port}`
  const configFile = join(dir, 'config.yaml')
  const logFile = join(dir, 'access.log')
  let child: ChildProcess | undefined
  let forgotten = 0
  const logText = () => readFileSync(logFile, 'utf8')
  const registry: UpstreamRegistry = {
    host,
    async start() {
      if (child !== undefined && isRunning(child)) return
      const log = openSync(logFile, 'a')
      child = startOwned('docker-registry', ['serve', configFile], {
        stdio: ['ignore', log, log],
        // Its own variables would overrule the file.
        env: { PATH: process.env.PATH ?? '', OTEL_TRACES_EXPORTER: 'none' },
      })
      closeSync(log)
      await eventually(() => answers(options), { what: 'docker-registry', intervalMs: 50 }).catch(
        (error: unknown) => {
          throw new Error(`docker-registry did not start: ${logText().slice(-2000)}`, { cause: error })
        },
      )
      registry.forget()
    },
    async stop() {
      if (child !== undefined) await endOwned(child, 5000)
    },
    blobFile(digest) {
      const { storageDir = join(dir, 'storage') } = options
      const hex = digestHex(digest)
      return join(storageDir, 'docker/registry/v2/blobs/sha256', hex.slice(0, 2), hex, 'data')
    },
    requests: () => parseAccessLog(logText().slice(forgotten)),
    forget() {
      forgotten = logText().length
    },
    async push(layout, nameInLayout, target) {
      const how = [
        '--insecure-policy',
        'copy',
        '--quiet',
        '--all',
        '--preserve-digests',
        '--dest-tls-verify=false',
      ]
      await runOrFail('skopeo', [...how, `oci:${layout}:${nameInLayout}`, `docker://${host}/${target}`])
    },
    [Symbol.asyncDispose]: () => registry.stop(),
  }
  await mkdir(dir, { recursive: true })
  await writeFile(configFile, configText(options))
  await registry.start()
  return registry
}
