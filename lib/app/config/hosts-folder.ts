import { randomUUID } from 'node:crypto'
import { lstat, mkdir, open, readdir, readFile, rename, rm, rmdir, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import type { FoundFolder, HostsOperation } from '../../config/hosts-plan.ts'
import { StarlingError, systemErrorCode } from '../../core/errors.ts'

/** The steps that change the disk, one at a time, so that a test can end them anywhere. */
export interface HostsDisk {
  makeFolder(path: string): Promise<void>
  /** Writes a new file and forces it to the disk. */
  writeNew(path: string, text: string): Promise<void>
  rename(from: string, to: string): Promise<void>
  removeFile(path: string): Promise<void>
  removeTree(path: string): Promise<void>
  /** Removes the folder if it is empty. */
  removeEmpty(path: string): Promise<void>
  /** Forces the entries of a folder to the disk. */
  sync(path: string): Promise<void>
}

export const nodeHostsDisk: HostsDisk = {
  async makeFolder(path) {
    await mkdir(path, { recursive: true, mode: 0o755 })
  },
  async writeNew(path, text) {
    await using handle = await open(path, 'wx', 0o644)
    await handle.writeFile(text)
    await handle.sync()
  },
  rename,
  removeFile: unlink,
  removeTree: (path) => rm(path, { recursive: true, force: true }),
  async removeEmpty(path) {
    await rmdir(path).catch((error: unknown) => {
      if (!['ENOTEMPTY', 'EEXIST', 'ENOENT'].includes(systemErrorCode(error) ?? '')) throw error
    })
  },
  async sync(path) {
    await using handle = await open(path, 'r')
    await handle.sync()
  },
}

const fileName = 'hosts.toml'
/** Containerd never looks at names that begin like this: no registry host does. */
const scratchPrefix = '.starling-'
const maxHostsSizeBytes = 1024 * 1024

/** Finds what is there and clears what an interrupted run has left. @throws StarlingError CONFIG_INVALID */
export async function readHosts(certsDir: string, disk: HostsDisk): Promise<FoundFolder[]> {
  const found: FoundFolder[] = []
  try {
    for (const entry of await readdir(certsDir, { withFileTypes: true })) {
      const path = join(certsDir, entry.name)
      if (entry.name.startsWith(scratchPrefix)) await disk.removeTree(path)
      else if (entry.isDirectory()) found.push({ folder: entry.name, hosts: await readHostsFile(path, disk) })
      else found.push({ folder: entry.name, hosts: 'unusable' })
    }
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return []
    throw diskError(error, certsDir)
  }
  return found
}

async function readHostsFile(folder: string, disk: HostsDisk): Promise<FoundFolder['hosts']> {
  for (const name of await readdir(folder)) {
    if (name.startsWith(scratchPrefix)) await disk.removeTree(join(folder, name))
  }
  const path = join(folder, fileName)
  const stat = await lstat(path).catch((error: unknown) => {
    if (systemErrorCode(error) === 'ENOENT') return undefined
    throw error
  })
  if (stat === undefined) return 'absent'
  if (!stat.isFile() || stat.size > maxHostsSizeBytes) return 'unusable'
  return { text: await readFile(path, 'utf8') }
}

/** Carries out a plan, folder by folder. @throws StarlingError DISK_FULL, CONFIG_INVALID */
export async function applyHosts(
  certsDir: string,
  operations: readonly HostsOperation[],
  disk: HostsDisk,
): Promise<void> {
  if (operations.length === 0) return
  try {
    await disk.makeFolder(certsDir)
    for (const operation of operations) {
      const folder = join(certsDir, operation.folder)
      if (operation.type === 'remove') await removeHosts(certsDir, folder, disk)
      else if (operation.createFolder) await createHosts(certsDir, folder, operation.text, disk)
      else await replaceHosts(folder, operation.text, disk)
      await disk.sync(certsDir)
    }
  } catch (error) {
    throw diskError(error, certsDir)
  }
}

const scratchIn = (folder: string) => join(folder, `${scratchPrefix}${randomUUID()}`)

/** An empty folder would already keep containerd from `_default`, so folder and file appear in one step. */
async function createHosts(certsDir: string, folder: string, text: string, disk: HostsDisk): Promise<void> {
  const scratch = scratchIn(certsDir)
  await disk.makeFolder(scratch)
  await disk.writeNew(join(scratch, fileName), text)
  await disk.sync(scratch)
  await disk.rename(scratch, folder)
}

async function replaceHosts(folder: string, text: string, disk: HostsDisk): Promise<void> {
  const scratch = scratchIn(folder)
  await disk.writeNew(scratch, text)
  await disk.rename(scratch, join(folder, fileName))
  await disk.sync(folder)
}

async function removeHosts(certsDir: string, folder: string, disk: HostsDisk): Promise<void> {
  const names = await readdir(folder)
  if (names.length > 1) {
    await disk.removeFile(join(folder, fileName))
    await disk.sync(folder)
    return
  }
  const scratch = scratchIn(certsDir)
  await disk.rename(folder, scratch)
  await disk.removeFile(join(scratch, fileName))
  await disk.removeEmpty(scratch)
}

function diskError(error: unknown, file: string): StarlingError {
  if (error instanceof StarlingError) return error
  const system = systemErrorCode(error)
  const full = system === 'ENOSPC' || system === 'EDQUOT'
  const hints: Readonly<Record<string, string>> = {
    EACCES: 'run as root',
    EPERM: 'run as root',
    EROFS: 'the file system is read-only, name another folder with --certs-d',
    ENOTDIR: 'a part of the path is not a folder, correct it',
    ENOSPC: 'make room and run this again',
    EDQUOT: 'make room and run this again',
  }
  const hint = hints[system ?? ''] ?? 'correct what is in the way and run this again'
  const message = `the folder cannot be brought up to date (${system ?? String(error)})`
  return new StarlingError(full ? 'DISK_FULL' : 'CONFIG_INVALID', message, {
    hint,
    position: { file },
    cause: error,
  })
}
