import { randomUUID } from 'node:crypto'
import {
  access,
  chmod,
  constants,
  link,
  mkdir,
  readFile,
  readlink,
  rename,
  rm,
  writeFile,
} from 'node:fs/promises'
import { join } from 'node:path'
import { describeError, StarlingError, systemErrorCode } from '../core/errors.ts'

/** Which process holds a data directory. A process id alone says nothing: they are used again. */
interface Owner {
  readonly pid: number
  /** Start of the process in clock ticks since boot (proc(5), field 22 of `stat`). */
  readonly startTicks: string
  readonly bootId: string
  readonly pidNamespace: string
}

async function readOrEmpty(path: string): Promise<string> {
  return readFile(path, 'utf8').catch(() => '')
}

async function startTicksOf(pid: number): Promise<string> {
  const stat = await readOrEmpty(`/proc/${pid}/stat`)
  // The name of the process stands in parentheses and may hold blanks, so fields count from the last one.
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? ''
}

async function describeSelf(): Promise<Owner> {
  return {
    pid: process.pid,
    startTicks: await startTicksOf(process.pid),
    bootId: (await readOrEmpty('/proc/sys/kernel/random/boot_id')).trim(),
    pidNamespace: await readlink('/proc/self/ns/pid').catch(() => ''),
  }
}

function parseOwner(text: string): Owner | undefined {
  try {
    const value = JSON.parse(text) as Partial<Owner> | null
    return typeof value?.pid === 'number' &&
      typeof value.startTicks === 'string' &&
      typeof value.bootId === 'string' &&
      typeof value.pidNamespace === 'string'
      ? (value as Owner)
      : undefined
  } catch {
    return undefined
  }
}

/** A process in another PID namespace can't be seen; then the ports, bound without `reusePort`, are the guard. */
async function isAlive(owner: Owner, self: Owner): Promise<boolean> {
  if (owner.bootId !== self.bootId || owner.pidNamespace !== self.pidNamespace) return false
  const startTicks = await startTicksOf(owner.pid)
  return startTicks !== '' && startTicks === owner.startTicks
}

/** Makes the folder (mode 0700) and checks that it can be written. @throws StarlingError CONFIG_INVALID, DISK_FULL */
async function makeFolder(dir: string): Promise<void> {
  try {
    await mkdir(dir, { recursive: true, mode: 0o700 })
    await access(dir, constants.R_OK | constants.W_OK | constants.X_OK)
    const probe = join(dir, `.probe-${randomUUID()}`)
    await writeFile(probe, 'x')
    await rm(probe)
  } catch (error) {
    if (systemErrorCode(error) === 'ENOSPC') {
      throw new StarlingError('DISK_FULL', `no space left for the data directory ${dir}`, {
        hint: 'free some space, or set dataDir to another file system',
        cause: error,
      })
    }
    throw new StarlingError(
      'CONFIG_INVALID',
      `the data directory ${dir} cannot be used: ${describeError(error)}`,
      {
        hint: 'set dataDir to a folder that this user can write',
        cause: error,
      },
    )
  }
}

export interface DataDirLock {
  release(): Promise<void>
}

/**
 * Makes the data directory and takes its lock, so that a second node can't use it. A lock whose process is gone is taken over.
 * @throws StarlingError DATA_DIR_LOCKED, CONFIG_INVALID, DISK_FULL
 */
export async function lockDataDir(dir: string): Promise<DataDirLock> {
  await makeFolder(dir)
  const path = join(dir, 'lock')
  const self = await describeSelf()
  const mine = `${path}.${self.pid}.${randomUUID()}`
  await writeFile(mine, `${JSON.stringify(self)}\n`, { mode: 0o600 })
  await chmod(mine, 0o600)
  try {
    for (let attempt = 0; attempt < 3; attempt += 1) {
      try {
        // A hard link fails where the name exists, so of two that start together one wins.
        await link(mine, path)
        return { release: () => rm(path, { force: true }) }
      } catch (error) {
        if (systemErrorCode(error) !== 'EEXIST') throw error
      }
      const text = await readOrEmpty(path)
      const owner = parseOwner(text)
      if (owner !== undefined && (await isAlive(owner, self))) {
        throw new StarlingError(
          'DATA_DIR_LOCKED',
          `process ${owner.pid} already uses the data directory ${dir}`,
          {
            hint: 'stop it first, or give this node its own dataDir',
          },
        )
      }
      await takeAway(path, text)
    }
  } finally {
    await rm(mine, { force: true })
  }
  throw new StarlingError('DATA_DIR_LOCKED', `several processes are after the data directory ${dir}`, {
    hint: 'start one Starling for each data directory',
  })
}

/** Removes a stale lock, unless it was replaced since `seen` was read. */
async function takeAway(path: string, seen: string): Promise<void> {
  const aside = `${path}.stale.${process.pid}`
  try {
    await rename(path, aside)
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return
    throw error
  }
  if ((await readOrEmpty(aside)) !== seen) await link(aside, path).catch(() => undefined)
  await rm(aside, { force: true })
}
