import type { Platform } from '../../archive/documents.ts'
import { type ImportedArchive, type ImportProgress, importArchive } from '../../archive/import-archive.ts'
import type { NodeConfig } from '../../core/config.ts'
import { hostPlatform } from './platform.ts'
import { openWriter } from './writer.ts'

export interface ImportFileJob {
  readonly path: string
  readonly store: NodeConfig['store']
  readonly platform: Platform | 'all'
}

/** Imports one archive into a node's store; the caller holds the lock of imports. */
export async function importFile(
  job: ImportFileJob,
  onProgress: (progress: ImportProgress) => void,
): Promise<ImportedArchive> {
  const writer = await openWriter(job.store)
  try {
    return await importArchive({ ...job, writer, hostPlatform: hostPlatform(), onProgress })
  } finally {
    await writer.close()
  }
}
