import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import {
  createRegistryHost,
  type RegistryHost,
  type RegistryHostOptions,
} from '../../lib/app/registry/host.ts'
import type { CredentialSet } from '../../lib/core/credentials.ts'
import { type Digest, digestHex } from '../../lib/core/digest.ts'
import type { Endpoint } from '../../lib/core/peer.ts'
import { tempFolder } from '../support/temp-folder.ts'
import { CountingMetrics, quietLog, SpecControl } from './harness.ts'

export interface WorkerNode extends AsyncDisposable {
  readonly host: RegistryHost
  readonly endpoint: Endpoint
  readonly control: SpecControl
  readonly metrics: CountingMetrics
  /** Lines of level error. */
  readonly errors: string[]
  /** Puts a blob into the image layout and the inventory. */
  put(bytes: Uint8Array): Promise<Digest>
  setCredentials(credentials: CredentialSet): void
}

/** A registry as a node runs it: worker threads over an image-layout folder, the control plane of the spec in this thread. */
export async function startWorkerNode(
  credentials: CredentialSet,
  host: string,
  options: Partial<RegistryHostOptions> = {},
): Promise<WorkerNode> {
  const folder = await tempFolder('registry')
  await mkdir(join(folder.path, 'blobs', 'sha256'), { recursive: true })
  await writeFile(join(folder.path, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}')
  await writeFile(join(folder.path, 'index.json'), '{"schemaVersion":2,"manifests":[]}')
  const control = new SpecControl()
  const metrics = new CountingMetrics()
  const errors: string[] = []
  const listeners = new Set<(value: CredentialSet) => void>()
  const log = {
    ...quietLog,
    error: (_: object, message: string) => void errors.push(message),
    child: () => log,
  }
  let current = credentials
  const registryHost = createRegistryHost({
    listen: [{ host, port: 0 }],
    workers: 1,
    credentials: {
      current: () => current,
      subscribe: (listener) => {
        listeners.add(listener)
        return () => void listeners.delete(listener)
      },
    },
    source: { kind: 'oci-layout', path: folder.path },
    control,
    graceMs: 1000,
    log,
    metrics,
    ...options,
  })
  await registryHost.start()
  const [endpoint] = registryHost.addresses()
  return {
    host: registryHost,
    endpoint: endpoint as Endpoint,
    control,
    metrics,
    errors,
    async put(bytes) {
      const digest = control.local.put(bytes)
      await writeFile(join(folder.path, 'blobs', 'sha256', digestHex(digest)), bytes)
      return digest
    },
    setCredentials(set) {
      current = set
      for (const listener of listeners) listener(set)
    },
    async [Symbol.asyncDispose]() {
      await registryHost.stop()
      await folder[Symbol.asyncDispose]()
    },
  }
}
