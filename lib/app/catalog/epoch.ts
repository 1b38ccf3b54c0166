import { mkdir, open } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { describeError, StarlingError, systemErrorCode } from '../../core/errors.ts'
import type { Logger } from '../../core/ports.ts'
import { replaceFile, syncFolder } from '../replace-file.ts'

/** Keeps the last epoch that this node has used, so that a restart begins a newer one. */
export interface EpochStore {
  /** 0 where none is kept. */
  load(): Promise<number>
  /** Resolves when it is safe on disk. @throws StarlingError DISK_FULL, CONFIG_INVALID */
  save(epoch: number): Promise<void>
}

const maxFileBytes = 64

/**
 * The epoch in the file `catalog-epoch` of the data directory, a decimal number and a line feed. A file that holds
 * something else is reported and counts as absent: the neighbours still know the last epoch.
 */
export function createEpochFile(dataDir: string, logger: Logger): EpochStore {
  const path = join(dataDir, 'catalog-epoch')
  return {
    async load() {
      let text: string
      try {
        const file = await open(path, 'r')
        try {
          const { buffer, bytesRead } = await file.read(Buffer.alloc(maxFileBytes), 0, maxFileBytes, 0)
          text = buffer.toString('latin1', 0, bytesRead)
        } finally {
          await file.close()
        }
      } catch (error) {
        if (systemErrorCode(error) === 'ENOENT') return 0
        throw unusable(path, 'cannot be read', error)
      }
      const epoch = /^\d{1,15}\n?$/.test(text) ? Number(text) : 0
      if (epoch === 0)
        logger.warn({ path }, 'the kept catalog epoch is damaged, neighbours will be asked for it')
      return epoch
    },
    async save(epoch) {
      try {
        await mkdir(dataDir, { recursive: true, mode: 0o700 })
        await replaceFile(path, `${epoch}\n`)
        await syncFolder(dirname(path))
      } catch (error) {
        throw unusable(path, 'cannot be written', error)
      }
    },
  }
}

function unusable(path: string, what: string, error: unknown): StarlingError {
  if (systemErrorCode(error) === 'ENOSPC') {
    return new StarlingError('DISK_FULL', `no space left to keep the catalog epoch in ${path}`, {
      hint: 'free some space, or set dataDir to another file system',
      cause: error,
    })
  }
  return new StarlingError('CONFIG_INVALID', `${path} ${what}: ${describeError(error)}`, {
    hint: 'make dataDir a folder that this user can write',
    cause: error,
  })
}
