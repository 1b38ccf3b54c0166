import { readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'

/** The folder of this repository. */
export const projectDir: string = dirname(dirname(import.meta.dirname))

/** The command line of Starling as it is developed, without a build. */
export const starlingBin: string = join(projectDir, 'bin', 'starling.ts')

interface PackageFile {
  readonly name: string
  readonly version: string
  readonly [key: string]: unknown
}

export function readPackageFile(): PackageFile {
  return JSON.parse(readFileSync(join(projectDir, 'package.json'), 'utf8')) as PackageFile
}

/** The flags that Node is started with in production, as the first line of the command says them. */
export function nodeFlags(): readonly string[] {
  return firstLineWords().filter((word) => word.startsWith('--'))
}

/** The environment variables with which it is started, `NAME=value` each. */
export function nodeVariables(): readonly string[] {
  return firstLineWords().filter((word) => /^[A-Z_]+=/.test(word))
}

function firstLineWords(): readonly string[] {
  const [first = ''] = readFileSync(starlingBin, 'utf8').split('\n', 1)
  return first.split(' ')
}
