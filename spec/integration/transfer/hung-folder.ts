import { spawnSync } from 'node:child_process'
import { closeSync, mkdtempSync, openSync, rmdirSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { onEarlyExit } from '../../support/processes.ts'
import { skipWithout } from '../../support/requirements.ts'

/**
 * Makes every access to a folder hang until what it returns is disposed, as a dead network file system does: a FUSE file system
 * whose server never answers. Files that were open before stay usable.
 * @throws Error where that cannot be mounted
 */
export function hangFolder(path: string): Disposable {
  const device = openSync('/dev/fuse', 'r+')
  const options = 'fd=3,rootmode=40000,user_id=0,group_id=0'
  const { status, stderr } = spawnSync('mount', ['-i', '-t', 'fuse', '-o', options, 'starling-hung', path], {
    stdio: ['ignore', 'ignore', 'pipe', device],
    encoding: 'utf8',
  })
  const release = () => {
    // Whoever hangs gets an error.
    closeSync(device)
    if (status === 0) spawnSync('umount', ['-l', path])
  }
  if (status !== 0) {
    release()
    throw new Error(`no FUSE file system could be mounted: ${stderr}`)
  }
  const forget = onEarlyExit(release)
  return {
    [Symbol.dispose]() {
      forget()
      release()
    },
  }
}

/** For the `skip` option of tests. */
export function skipWithoutHungFolders(): string | false {
  const missing = skipWithout('root', 'mount', 'umount')
  if (missing !== false) return missing
  const path = mkdtempSync(join(tmpdir(), 'hung-'))
  try {
    hangFolder(path)[Symbol.dispose]()
    return false
  } catch (error) {
    return String(error)
  } finally {
    rmdirSync(path)
  }
}
