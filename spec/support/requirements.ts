import { accessSync, constants } from 'node:fs'
import { delimiter, join } from 'node:path'

/** Debian keeps some programs out of the path of ordinary users. */
const searchPath = [...(process.env.PATH ?? '').split(delimiter), '/usr/local/sbin', '/usr/sbin', '/sbin']

/** Where a program is installed, or undefined. */
export function findProgram(name: string): string | undefined {
  for (const folder of searchPath) {
    if (folder === '') continue
    try {
      accessSync(join(folder, name), constants.X_OK)
      return join(folder, name)
    } catch {}
  }
  return undefined
}

export function isRoot(): boolean {
  return process.getuid?.() === 0
}

/**
 * For the `skip` option of a test: `false` where all that it needs is there, else the reason that is printed.
 * A need is the name of a program, or `root`.
 */
export function skipWithout(...needs: readonly string[]): string | false {
  if (needs.includes('root') && !isRoot()) return 'needs root'
  const missing = needs.filter((need) => need !== 'root' && findProgram(need) === undefined)
  return missing.length === 0 ? false : `not installed: ${missing.join(', ')}`
}
