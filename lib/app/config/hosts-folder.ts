import { randomUUID } from 'node:crypto'
import type { Stats } from 'node:fs'
import { link, lstat, mkdir, open, readdir, readFile, rename, rm, rmdir, unlink } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import type { FoundFolder, HostsOperation } from '../../config/hosts-plan.ts'
import { StarlingError, systemErrorCode } from '../../core/errors.ts'

/** The steps that change the disk, one at a time, so that a test can end them anywhere. */
export interface HostsDisk {
  makeFolder(path: string): Promise<void>
  /** Writes a new file with this mode and forces it to the disk. */
  writeNew(path: string, text: string, mode: number): Promise<void>
  /** Gives a file a second name. */
  link(from: string, to: string): Promise<void>
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
    await mkdir(path, { recursive: true, mode: 0o700 })
  },
  async writeNew(path, text, mode) {
    await using handle = await open(path, 'wx', 0o600)
    await handle.writeFile(text)
    // Whatever the umask is.
    await handle.chmod(mode)
    await handle.sync()
  },
  link,
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
/** A file of somebody else is kept under this name; older ones have a number behind it. */
const keptName = 'hosts.toml.kept-by-starling'
const changedName = 'hosts.toml.changed-by-hand'
/** In a `certs.d` that was not there before. */
const madeName = '.made-by-starling'
const maxHostsSizeBytes = 1024 * 1024

/** Finds what is there. @throws StarlingError CONFIG_INVALID */
export async function readHosts(certsDir: string): Promise<FoundFolder[]> {
  const found: FoundFolder[] = []
  try {
    for (const entry of await readdir(certsDir, { withFileTypes: true })) {
      const path = join(certsDir, entry.name)
      if (entry.name.startsWith(scratchPrefix) || entry.name === madeName) continue
      if (entry.isDirectory()) found.push(await readFolder(entry.name, path))
      else found.push({ folder: entry.name, hosts: 'unusable' })
    }
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return []
    throw diskError(error, certsDir)
  }
  return found
}

async function readFolder(name: string, path: string): Promise<FoundFolder> {
  const names = await readdir(path)
  const kept = names.filter((inner) => inner.startsWith(keptName))
  return { folder: name, hosts: await readHostsFile(join(path, fileName)), kept }
}

async function readHostsFile(path: string): Promise<FoundFolder['hosts']> {
  const stat = await statOf(path)
  if (stat === undefined) return 'absent'
  if (!stat.isFile() || stat.size > maxHostsSizeBytes) return 'unusable'
  return { text: await readFile(path, 'utf8'), mode: stat.mode & 0o777 }
}

async function statOf(path: string): Promise<Stats | undefined> {
  return lstat(path).catch((error: unknown) => {
    if (systemErrorCode(error) === 'ENOENT') return undefined
    throw error
  })
}

/** Clears what interrupted runs have left, here and one level below. @throws StarlingError CONFIG_INVALID */
export async function clearScratch(certsDir: string, disk: HostsDisk): Promise<void> {
  try {
    await disk.removeTree(scratchBeside(certsDir))
    for (const entry of await readdir(certsDir, { withFileTypes: true })) {
      const path = join(certsDir, entry.name)
      if (entry.name.startsWith(scratchPrefix)) {
        if (isLeft(entry.name)) await disk.removeTree(path)
      } else if (entry.isDirectory()) {
        const inners = await readdir(path)
        for (const inner of inners) if (isLeft(inner)) await disk.removeTree(join(path, inner))
        const isBusy = inners.some((inner) => inner.startsWith(scratchPrefix) && !isLeft(inner))
        if (inners.includes(keptName) && !isBusy) await dropTwin(path, disk)
      }
    }
  } catch (error) {
    if (systemErrorCode(error) !== 'ENOENT') throw diskError(error, certsDir)
  }
}

/** A run that died after it gave a foreign file its second name, and before it took the first, has changed nothing. */
async function dropTwin(folder: string, disk: HostsDisk): Promise<void> {
  const [current, kept] = [await statOf(join(folder, fileName)), await statOf(join(folder, keptName))]
  if (current === undefined || current.ino !== kept?.ino) return
  await disk.removeFile(join(folder, keptName))
  await disk.sync(folder)
}

/** Of a run that has ended: a node that keeps the folder in step and somebody's `configure` can write at the same time. */
function isLeft(name: string): boolean {
  if (!name.startsWith(scratchPrefix)) return false
  const pid = Number.parseInt(name.slice(scratchPrefix.length), 10)
  return !Number.isInteger(pid) || pid === process.pid || !isProcess(pid)
}

function isProcess(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return systemErrorCode(error) === 'EPERM'
  }
}

/** Carries out a plan, folder by folder. @throws StarlingError DISK_FULL, CONFIG_INVALID */
export async function applyHosts(
  certsDir: string,
  operations: readonly HostsOperation[],
  disk: HostsDisk,
): Promise<void> {
  if (operations.length === 0) return
  try {
    if (operations.some(({ type }) => type === 'write')) await makeCertsDir(certsDir, disk)
    for (const operation of operations) {
      const folder = join(certsDir, operation.folder)
      if (operation.type === 'remove') await removeHosts(certsDir, folder, operation, disk)
      else if (operation.createFolder) await createHosts(certsDir, folder, operation, disk)
      else await replaceHosts(folder, operation, disk)
      await disk.sync(certsDir)
    }
  } catch (error) {
    throw diskError(error, certsDir)
  }
}

/** After a cleanup: removes `certs.d` where it was made here and nothing is in it. @throws StarlingError CONFIG_INVALID */
export async function removeEmptyCertsDir(certsDir: string, disk: HostsDisk): Promise<void> {
  try {
    const scratch = scratchBeside(certsDir)
    const names = await readdir(certsDir)
    if (names.length !== 1 || names[0] !== madeName) return
    // The mark goes with the folder: without it nobody would know any more that it was made here.
    await disk.rename(certsDir, scratch)
    await disk.removeFile(join(scratch, madeName))
    await disk.removeEmpty(scratch)
  } catch (error) {
    if (systemErrorCode(error) !== 'ENOENT') throw diskError(error, certsDir)
  }
}

type Write = Extract<HostsOperation, { type: 'write' }>
type Remove = Extract<HostsOperation, { type: 'remove' }>

const scratchBeside = (certsDir: string) => join(dirname(certsDir), `${scratchPrefix}${basename(certsDir)}`)
const scratchIn = (folder: string) => join(folder, `${scratchPrefix}${process.pid}-${randomUUID()}`)

/** The folder and the mark that it was not there before appear in one step. */
async function makeCertsDir(certsDir: string, disk: HostsDisk): Promise<void> {
  if ((await statOf(certsDir)) !== undefined) return
  const scratch = scratchBeside(certsDir)
  await disk.removeTree(scratch)
  await disk.makeFolder(scratch)
  await disk.writeNew(join(scratch, madeName), '', 0o600)
  await disk.rename(scratch, certsDir)
}

/** An empty folder would already keep containerd from `_default`, so folder and file appear in one step. */
async function createHosts(
  certsDir: string,
  folder: string,
  { text, mode }: Write,
  disk: HostsDisk,
): Promise<void> {
  const scratch = scratchIn(certsDir)
  await disk.makeFolder(scratch)
  await disk.writeNew(join(scratch, fileName), text, mode)
  await disk.sync(scratch)
  await disk.rename(scratch, folder)
}

async function replaceHosts(folder: string, { text, mode, keep }: Write, disk: HostsDisk): Promise<void> {
  const scratch = scratchIn(folder)
  await disk.writeNew(scratch, text, mode)
  if (keep) await keepAside(folder, keptName, disk)
  await disk.rename(scratch, join(folder, fileName))
  await disk.sync(folder)
}

/** Gives the file that is there a second name, under which nothing else is lost. */
async function keepAside(folder: string, name: string, disk: HostsDisk): Promise<void> {
  const [path, aside] = [join(folder, fileName), join(folder, name)]
  const [current, there] = [await lstat(path), await statOf(aside)]
  if (there?.ino === current.ino) return
  // Whoever writes the same file again and again must not fill the folder with copies of it.
  if (there?.isFile() === true && there.size === current.size && (await isSameText(path, aside))) return
  if (there !== undefined) {
    let number = 1
    while ((await statOf(`${aside}.${number}`)) !== undefined) number += 1
    await disk.rename(aside, `${aside}.${number}`)
  }
  await disk.link(path, aside)
  await disk.sync(folder)
}

async function isSameText(a: string, b: string): Promise<boolean> {
  return (await readFile(a, 'utf8')) === (await readFile(b, 'utf8'))
}

async function removeHosts(
  certsDir: string,
  folder: string,
  operation: Remove,
  disk: HostsDisk,
): Promise<void> {
  const path = join(folder, fileName)
  if (operation.keep) await keepAside(folder, changedName, disk)
  const names = await readdir(folder)
  if (operation.leave === 'file' && names.includes(keptName)) {
    await disk.rename(join(folder, keptName), path)
    await disk.sync(folder)
    return
  }
  if (operation.leave !== 'nothing' || names.length > 1) {
    await disk.removeFile(path)
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
