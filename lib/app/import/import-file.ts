import type { Platform } from '../../archive/documents.ts'
import { type ImportedArchive, type ImportProgress, importArchive } from '../../archive/import-archive.ts'
import type { NodeConfig } from '../../core/config.ts'
import { openWriter } from './writer.ts'

export interface ImportFileJob {
  readonly path: string
  readonly store: NodeConfig['store']
  readonly platform: Platform | 'all'
}

/** The platform of this machine in OCI's words. */
export function hostPlatform(): Platform {
  const architecture = process.arch === 'x64' ? 'amd64' : process.arch
  return { os: 'linux', architecture, variant: undefined }
}

/** `linux/amd64`, `linux/arm/v7` or `all`; undefined for anything else. */
export function parsePlatform(text: string): Platform | 'all' | undefined {
  if (text === 'all') return 'all'
  const match = /^([a-z0-9]+)\/([a-z0-9_]+)(?:\/([a-z0-9]+))?$/.exec(text)
  if (match === null) return undefined
  return { os: match[1] ?? '', architecture: match[2] ?? '', variant: match[3] }
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
