import type { NodeConfig } from '../core/config.ts'
import type { ContentStore } from '../core/content-store.ts'
import type { Clock, Logger, Metrics } from '../core/ports.ts'

export interface StoreOptions {
  readonly config: NodeConfig
  readonly clock: Clock
  readonly log: Logger
  readonly metrics: Metrics
}

/** Only the adapter that is used is loaded: gRPC alone takes 19 MiB. */
export async function createStore(options: StoreOptions): Promise<ContentStore> {
  const { config, clock, metrics } = options
  const log = options.log.child({ part: 'store' })
  if (config.store.type === 'containerd') {
    const { createContainerdStore } = await import('../containerd/store.ts')
    return createContainerdStore({ ...config.store, log, clock, metrics })
  }
  const { createOciLayoutStore } = await import('../oci-layout/store.ts')
  return createOciLayoutStore({ path: config.store.path, log, clock, metrics })
}
