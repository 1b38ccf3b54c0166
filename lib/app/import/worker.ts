import { parentPort, workerData } from 'node:worker_threads'
import { StarlingError } from '../../core/errors.ts'
import { type ImportJob, importUnlessKnown } from './import-known.ts'
import type { FromImportWorker } from './run-job.ts'

/** The entry of the thread that works on one file: hashing and unpacking must not delay the heartbeat. */

function send(message: FromImportWorker): void {
  parentPort?.postMessage(message)
}

try {
  const outcome = await importUnlessKnown(workerData as ImportJob, (progress) =>
    send({ type: 'progress', progress }),
  )
  send({ type: 'done', outcome })
} catch (error) {
  if (!(error instanceof StarlingError)) throw error
  send({ type: 'failed', code: error.code, message: error.format() })
}
