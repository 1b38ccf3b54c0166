import type { NodeConfig } from '../../core/config.ts'
import type { Service } from '../../core/ports.ts'
import { readContainerdConfig } from './containerd-config.ts'
import { containerdConfigFiles, firstReadable } from './containerd-files.ts'
import { discardedLayers } from './containerd-verdicts.ts'

const intervalMs = 60_000

/** Follows whether containerd throws layers away after unpacking them. */
export interface LayersWatch extends Service {
  /** In one line; undefined where layers are kept, or the configuration can't be read by this user. */
  problem(): string | undefined
  /** Looks now. */
  look(): Promise<void>
}

/**
 * @param storeNow the store of the node as it is configured now
 * @param files where containerd's configuration may be; default the usual places
 */
export function createLayersWatch(
  storeNow: () => NodeConfig['store'],
  files?: readonly string[],
): LayersWatch {
  let problem: string | undefined
  let timer: NodeJS.Timeout | undefined

  async function look(): Promise<void> {
    const store = storeNow()
    if (store.type !== 'containerd') {
      problem = undefined
      return
    }
    const file = await firstReadable(files ?? containerdConfigFiles(store.socket))
    const facts = file === undefined ? undefined : await readContainerdConfig(file).catch(() => undefined)
    const { verdict, detail } = discardedLayers(facts?.discardedIn)
    problem = verdict === 'ok' ? undefined : detail
  }

  return {
    problem: () => problem,
    look,
    async start() {
      await look()
      timer = setInterval(() => void look(), intervalMs).unref()
    },
    async stop() {
      clearInterval(timer)
    },
  }
}
