import { readFileSync } from 'node:fs'
import { packageFileUrl } from './program-files.ts'

/** Version of Starling, from its package.json. */
export const version: string = (() => {
  const text = readFileSync(packageFileUrl, 'utf8')
  return (JSON.parse(text) as { version: string }).version
})()
