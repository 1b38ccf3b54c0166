import { findPackageJSON } from 'node:module'
import { pathToFileURL } from 'node:url'

/** The built package has fewer and larger files than the repository: only paths from its package.json on are the same in both. */
export const packageFileUrl: URL = pathToFileURL(findPackageJSON(import.meta.url) ?? '')

/** The entry of a worker thread: `.ts` in the repository, `.js` in the built package. `path` is without both. */
export function workerEntry(path: string): URL {
  return new URL(`${path}${import.meta.url.endsWith('.ts') ? '.ts' : '.js'}`, packageFileUrl)
}
