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
