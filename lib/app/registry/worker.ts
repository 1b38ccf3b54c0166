import { parentPort, workerData } from 'node:worker_threads'
import type { BlobReader, BlobSource } from '../../core/content-store.ts'
import { describeError, StarlingError } from '../../core/errors.ts'
import type { Clock, Logger, Metrics } from '../../core/ports.ts'
import { createControlClient } from '../../registry/control-channel.ts'
import { DataPlane } from '../../registry/data-plane.ts'
import { PassingBytes } from '../../registry/flights/passing-bytes.ts'
import { withLookupCache } from '../../registry/lookup-cache.ts'
import { MessageBatch } from '../../registry/message-batch.ts'
import type { FromWorker, MetricChange, RegistryWorkerData, ToWorker } from '../../registry/messages.ts'
import { SharedFlow } from '../../registry/shared-flow.ts'
import { systemClock } from '../system.ts'

const inFlightIntervalMs = 1_000

/** The entry of a worker thread that serves the registry API; `host` starts and replaces it. */

function send(message: FromWorker): void {
  parentPort?.postMessage(message)
}

function createWorkerLog(base: object): Logger {
  const line =
    (level: 'debug' | 'info' | 'warn' | 'error') =>
    (fields: object, message: string): void =>
      send({ type: 'log', level, fields: { ...base, ...fields }, message })
  return {
    debug: line('debug'),
    info: line('info'),
    warn: line('warn'),
    error: line('error'),
    child: (fields) => createWorkerLog({ ...base, ...fields }),
  }
}

const changes = new MessageBatch<MetricChange>((items) => send({ type: 'metrics', changes: items }))

const metrics: Metrics = {
  count: (name, labels = {}, value = 1) => changes.push({ kind: 'count', name, value, labels }),
  observe: (name, value, labels = {}) => changes.push({ kind: 'observe', name, value, labels }),
  set: (name, value, labels = {}) => changes.push({ kind: 'set', name, value, labels }),
}

/** Loads only the kind of store that is used: the other one costs memory in every worker. */
async function createReader(source: BlobSource): Promise<BlobReader> {
  if (source.kind === 'containerd') {
    const { createContainerdReader } = await import('../../containerd/blob-reader.ts')
    return createContainerdReader(source)
  }
  const { createOciLayoutReader } = await import('../../oci-layout/blob-reader.ts')
  return createOciLayoutReader(source)
}

/** Tells how many requests are being answered when that has changed. */
function followInFlight(plane: DataPlane, worker: string): void {
  let told = -1
  const tell = (): void => {
    const now = plane.requestsInFlight()
    if (now === told) return
    told = now
    metrics.set('starling_registry_requests_in_flight', now, { worker })
  }
  tell()
  setInterval(tell, inFlightIntervalMs).unref()
}

/** Threads that count together must agree on the time: `performance.now` begins anew in each. */
const clock: Clock = { ...systemClock, monotonicMs: () => Number(process.hrtime.bigint() / 1000n) / 1000 }

async function main(data: RegistryWorkerData): Promise<void> {
  const { limits } = data
  const control = createControlClient(data.controlPort, {
    timeoutMs: limits.lookupTimeoutMs,
    claimTimeoutMs: limits.flightCeilingMs / 2,
    maxInFlight: limits.maxConnections,
  })
  const cached = withLookupCache(control, () => clock.monotonicMs())
  const log = createWorkerLog({})
  const plane = new DataPlane({
    credentials: data.credentials,
    limits,
    mapsPath: data.mapsPath,
    flows: {
      uploads: new SharedFlow(data.uploads, data.index),
      downloads: new SharedFlow(data.downloads, data.index),
    },
    passing: new PassingBytes(data.passing, data.index),
    reader: await createReader(data.source),
    control: cached,
    clock,
    log,
    metrics,
  })

  async function setSource(source: BlobSource): Promise<void> {
    try {
      plane.setReader(await createReader(source))
    } catch (error) {
      log.error({ error: describeError(error) }, 'the new content store cannot be read; the old one is kept')
    }
  }

  parentPort?.on('message', (message: ToWorker) => {
    if (message.type === 'credentials') plane.setCredentials(message.credentials)
    else if (message.type === 'source') void setSource(message.source)
    else if (message.type === 'tune') plane.tune(message.tuning)
    else if (message.type === 'lookups-changed') cached.forgetLookups()
    else if (message.type === 'retire') plane.retire()
    else {
      void plane.stop(message.graceMs).then(() => {
        control.close()
        changes.flush()
        parentPort?.close()
      })
    }
  })
  followInFlight(plane, String(data.index))
  send({ type: 'listening', addresses: await plane.listen(data.listen, { reusePort: true }) })
}

main(workerData as RegistryWorkerData).catch((error: unknown) => {
  const known = error instanceof StarlingError
  send({
    type: 'failed',
    code: known ? error.code : undefined,
    message: known ? error.message : describeError(error),
    hint: known ? error.hint : undefined,
  })
  parentPort?.close()
})
