import { parentPort, workerData } from 'node:worker_threads'
import { StarlingError } from '../../core/errors.ts'
import { type ImportFileJob, importFile } from './import-file.ts'
import type { FromImportWorker } from './run-job.ts'

/** The entry of the thread that imports one archive: hashing and unpacking must not delay the heartbeat. */

function send(message: FromImportWorker): void {
  parentPort?.postMessage(message)
}

try {
  const archive = await importFile(workerData as ImportFileJob, (readBytes, totalBytes) =>
    send({ type: 'progress', readBytes, totalBytes }),
  )
  send({ type: 'done', archive })
} catch (error) {
  if (!(error instanceof StarlingError)) throw error
  send({ type: 'failed', code: error.code, message: error.format() })
}
