import {
  beforeOf,
  type HostsBefore,
  hostsFolder,
  ownerOf,
  renderHostsToml,
  shadowingFolder,
} from './hosts-toml.ts'
import type { RegistryHosts } from './registry-hosts.ts'

/** One folder below `certs.d`, as it is found. */
export interface FoundFolder {
  readonly folder: string
  /** Its `hosts.toml`; `absent` where there is none, `unusable` where it (or the folder) is no plain file. */
  readonly hosts: { readonly text: string; readonly mode?: number } | 'absent' | 'unusable'
  /** Names of the files that are kept for `cleanup`, the newest first. */
  readonly kept?: readonly string[]
}

export type HostsOperation =
  | {
      readonly type: 'write'
      readonly folder: string
      readonly text: string
      /** Of the file. */
      readonly mode: number
      readonly createFolder: boolean
      /** The file that is there is somebody else's: it is kept under another name. */
      readonly keep: boolean
    }
  | {
      readonly type: 'remove'
      readonly folder: string
      /** What is there afterwards. */
      readonly leave: HostsBefore
      /** A file of ours that somebody changed is kept under another name. */
      readonly keep: boolean
    }

export interface RefusedFolder {
  readonly folder: string
  readonly reason: string
  readonly hint: string
}

export interface HostsPlan {
  readonly operations: readonly HostsOperation[]
  /** Folders whose file is as it should be. */
  readonly unchanged: readonly string[]
  /** Files that were left as they are. */
  readonly refused: readonly RefusedFolder[]
}

const secretMode = 0o600
const openMode = 0o644

/**
 * Decides what to write and remove so that `certs.d` says what `desired` says. A file of somebody else in the place of one
 * that is wanted is kept aside; one of ours that somebody changed is left alone; leftovers of ours go.
 */
export function planHosts(desired: readonly RegistryHosts[], current: readonly FoundFolder[]): HostsPlan {
  const found = new Map(current.map((entry) => [entry.folder, entry]))
  const operations: HostsOperation[] = []
  const unchanged: string[] = []
  const refused: RefusedFolder[] = []
  const wanted = new Set<string>()
  for (const entry of desired) {
    const folder = hostsFolder(entry.registry)
    wanted.add(folder)
    const shadow = shadowingFolder(entry.registry)
    if (shadow !== undefined && found.has(shadow)) {
      refused.push({
        folder: shadow,
        reason: `containerd reads this folder instead of ${folder}`,
        hint: `move it away to have ${entry.registry} mirrored`,
      })
    }
    const step = planWrite(entry, folder, found.get(folder))
    if (step === undefined) unchanged.push(folder)
    else if ('type' in step) operations.push(step)
    else refused.push(step)
  }
  for (const { folder, hosts } of current) {
    if (wanted.has(folder) || typeof hosts !== 'object') continue
    const owner = ownerOf(hosts.text)
    if (owner === 'ours')
      operations.push({ type: 'remove', folder, leave: beforeOf(hosts.text), keep: false })
    else if (owner === 'modified') {
      refused.push({
        folder,
        reason: 'nothing is to be said of it any more, but its hosts.toml was changed by somebody',
        hint: 'remove the file if it is not needed, or run starling cleanup, which keeps it aside',
      })
    }
  }
  return { operations, unchanged, refused }
}

function planWrite(
  entry: RegistryHosts,
  folder: string,
  state: FoundFolder | undefined,
): HostsOperation | RefusedFolder | undefined {
  const { hosts = 'absent', kept = [] } = state ?? {}
  if (hosts === 'unusable') {
    return { folder, reason: 'its hosts.toml is not a plain file', hint: 'move it away and run this again' }
  }
  const mode = entry.secret ? secretMode : openMode
  const base = { type: 'write', folder, mode, createFolder: state === undefined } as const
  const write = (before: HostsBefore, keep: boolean) => ({
    ...base,
    text: renderHostsToml(entry, before),
    keep,
  })
  if (hosts === 'absent') {
    // A file that was kept when an earlier run was killed, or K3s took ours away: it is still what was here before.
    if (kept.length > 0) return write('file', false)
    return write(state === undefined ? 'nothing' : 'folder', false)
  }
  const owner = ownerOf(hosts.text)
  if (owner === 'foreign') return write('file', true)
  if (owner === 'modified') {
    return {
      folder,
      reason: 'its hosts.toml was changed by somebody',
      hint: 'move the file away and run this again, or keep it and add changes by hand',
    }
  }
  const next = write(beforeOf(hosts.text), false)
  const isOpen = entry.secret && ((hosts.mode ?? secretMode) & 0o077) !== 0
  return next.text === hosts.text && !isOpen ? undefined : next
}

/** Takes everything of ours away and puts back what was there before, changed files of ours being kept aside. */
export function planCleanup(current: readonly FoundFolder[]): HostsPlan {
  const operations = current.flatMap(({ folder, hosts }): HostsOperation[] => {
    if (typeof hosts !== 'object') return []
    const owner = ownerOf(hosts.text)
    if (owner === 'foreign') return []
    return [{ type: 'remove', folder, leave: beforeOf(hosts.text), keep: owner === 'modified' }]
  })
  return { operations, unchanged: [], refused: [] }
}
