import { Worker } from 'node:worker_threads'
import type { ImportProgress } from '../../archive/import-archive.ts'
import { type ErrorCode, StarlingError } from '../../core/errors.ts'
import { workerEntry } from '../program-files.ts'
import type { FileOutcome, ImportJob } from './import-known.ts'

export type FromImportWorker =
  | { readonly type: 'progress'; readonly progress: ImportProgress }
  | { readonly type: 'done'; readonly outcome: FileOutcome }
  | { readonly type: 'failed'; readonly code: ErrorCode; readonly message: string }

const entry = workerEntry('lib/app/import/worker')

const maxHeapMb = 128

/**
 * Works on one file of the images folder in a thread of its own, which ends with it. Once `signal` is aborted the thread is
 * ended where it stands; the next import clears what it leaves.
 * @throws StarlingError, its message with the place
 */
export async function runJob(
  job: ImportJob,
  onProgress: (progress: ImportProgress) => void,
  signal: AbortSignal,
): Promise<FileOutcome> {
  signal.throwIfAborted()
  const worker = new Worker(entry, {
    workerData: job,
    resourceLimits: { maxOldGenerationSizeMb: maxHeapMb },
    name: 'starling-import',
  })
  const stop = (): void => void worker.terminate()
  signal.addEventListener('abort', stop, { once: true })
  try {
    return await new Promise<FileOutcome>((resolve, reject) => {
      worker.on('message', (message: FromImportWorker) => {
        if (message.type === 'progress') onProgress(message.progress)
        else if (message.type === 'done') resolve(message.outcome)
        else reject(new StarlingError(message.code, message.message))
      })
      worker.once('error', reject)
      worker.once('exit', () => reject(new StarlingError('INTERNAL', 'the import was broken off')))
    })
  } finally {
    signal.removeEventListener('abort', stop)
    await worker.terminate()
  }
}
