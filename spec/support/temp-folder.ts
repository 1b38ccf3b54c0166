import { rmSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { onEarlyExit } from './processes.ts'

export interface TempFolder extends AsyncDisposable {
  readonly path: string
}

/** A new folder that is removed with all that is in it when it goes out of scope, and when this process ends early. Its path is short enough for Unix sockets. */
export async function tempFolder(name = 'test'): Promise<TempFolder> {
  const path = await mkdtemp(join(tmpdir(), `starling-${name}-`))
  const forget = onEarlyExit(() => rmSync(path, { recursive: true, force: true, maxRetries: 5 }))
  return {
    path,
    async [Symbol.asyncDispose]() {
      forget()
      await rm(path, { recursive: true, force: true, maxRetries: 5 })
    },
  }
}
