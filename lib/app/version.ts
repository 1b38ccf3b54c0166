import { readFileSync } from 'node:fs'

/** Version of Starling, from its package.json: beside lib/ in a checkout and in the published package alike. */
export const version: string = (() => {
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8')
  return (JSON.parse(text) as { version: string }).version
})()
