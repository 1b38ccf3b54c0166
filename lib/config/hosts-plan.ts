import { type HostsEntry, hostsFolder, ownerOf, renderHostsToml, shadowingFolder } from './hosts-toml.ts'

/** One folder below `certs.d`, as it is found. */
export interface FoundFolder {
  readonly folder: string
  /** Text of its `hosts.toml`; `absent` where there is none, `unusable` where it (or the folder) is no plain file. */
  readonly hosts: { readonly text: string } | 'absent' | 'unusable'
}

export type HostsOperation =
  | { readonly type: 'write'; readonly folder: string; readonly text: string; readonly createFolder: boolean }
  | { readonly type: 'remove'; readonly folder: string }

export interface RefusedFolder {
  readonly folder: string
  readonly reason: string
  readonly hint: string
}

export interface HostsPlan {
  readonly operations: readonly HostsOperation[]
  /** Folders whose file is as it should be. */
  readonly unchanged: readonly string[]
  /** Files that are not ours, and were left as they are. */
  readonly refused: readonly RefusedFolder[]
}

/**
 * Decides what to write and remove so that `certs.d` says what `desired` says. Only files that we wrote and nobody changed
 * are ever touched; leftovers of ours for registries that are no longer mirrored go.
 */
export function planHosts(desired: readonly HostsEntry[], current: readonly FoundFolder[]): HostsPlan {
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
    const text = renderHostsToml(entry)
    const state = found.get(folder)
    const refusal = state === undefined ? undefined : refusalOf(state)
    if (refusal !== undefined) refused.push(refusal)
    else if (typeof state?.hosts === 'object' && state.hosts.text === text) unchanged.push(folder)
    else operations.push({ type: 'write', folder, text, createFolder: state === undefined })
  }
  for (const { folder, hosts } of current) {
    if (wanted.has(folder) || typeof hosts !== 'object') continue
    const owner = ownerOf(hosts.text)
    if (owner === 'ours') operations.push({ type: 'remove', folder })
    else if (owner === 'modified') {
      refused.push({
        folder,
        reason: 'it is no longer mirrored, but its hosts.toml was changed by somebody',
        hint: 'remove the file if it is not needed',
      })
    }
  }
  return { operations, unchanged, refused }
}

function refusalOf({ folder, hosts }: FoundFolder): RefusedFolder | undefined {
  if (hosts === 'absent') return undefined
  if (hosts === 'unusable') {
    return { folder, reason: 'its hosts.toml is not a plain file', hint: 'move it away and run this again' }
  }
  const owner = ownerOf(hosts.text)
  if (owner === 'ours') return undefined
  return owner === 'modified'
    ? {
        folder,
        reason: 'its hosts.toml was changed by somebody',
        hint: 'move the file away and run this again, or keep it and add changes by hand',
      }
    : {
        folder,
        reason: 'its hosts.toml was not written by starling',
        hint: 'move the file away and run this again, or add the mirror to it by hand',
      }
}
