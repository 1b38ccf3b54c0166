import { Worker } from 'node:worker_threads'
import type { ImportedArchive } from '../../archive/import-archive.ts'
import { type ErrorCode, StarlingError } from '../../core/errors.ts'
import type { ImportFileJob } from './import-file.ts'

export type FromImportWorker =
  | { readonly type: 'progress'; readonly readBytes: number; readonly totalBytes: number }
  | { readonly type: 'done'; readonly archive: ImportedArchive }
  | { readonly type: 'failed'; readonly code: ErrorCode; readonly message: string }

/** The entry has the extension of this file: `.ts` in the repository, `.js` in the built package. */
const entry = new URL(`./worker${import.meta.url.endsWith('.ts') ? '.ts' : '.js'}`, import.meta.url)

const maxHeapMb = 128

/**
 * Imports one archive in a thread of its own, which ends with it. Once `signal` is aborted the thread is ended where it
 * stands; the next import clears what it leaves.
 * @throws StarlingError, its message with the place
 */
export async function runJob(
  job: ImportFileJob,
  onProgress: (readBytes: number, totalBytes: number) => void,
  signal: AbortSignal,
): Promise<ImportedArchive> {
  signal.throwIfAborted()
  const worker = new Worker(entry, {
    workerData: job,
    resourceLimits: { maxOldGenerationSizeMb: maxHeapMb },
    name: 'starling-import',
  })
  const stop = (): void => void worker.terminate()
  signal.addEventListener('abort', stop, { once: true })
  try {
    return await new Promise<ImportedArchive>((resolve, reject) => {
      worker.on('message', (message: FromImportWorker) => {
        if (message.type === 'progress') onProgress(message.readBytes, message.totalBytes)
        else if (message.type === 'done') resolve(message.archive)
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
