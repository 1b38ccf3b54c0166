import { posix } from 'node:path'

/** Why a name must not be in an archive, or undefined. */
export function badNameReason(name: string): string | undefined {
  if (name === '' || name.length > 4096) return 'its name is empty or too long'
  if (name.includes('\0')) return 'its name holds a NUL character'
  if (name.startsWith('/')) return 'its path is absolute'
  return name.split('/').includes('..') ? 'its path leads out of the archive' : undefined
}

/** The name without `./`, doubled and closing slashes. */
export function entryName(name: string): string {
  return posix.normalize(name).replace(/\/$/, '')
}

/** What a symbolic link in `name` points to, within the archive; undefined where it leads out of it. */
export function linkTarget(name: string, target: string): string | undefined {
  if (target === '' || target.startsWith('/') || target.includes('\0')) return undefined
  const path = posix.normalize(posix.join(posix.dirname(name), target))
  return path === '..' || path.startsWith('../') ? undefined : path
}
