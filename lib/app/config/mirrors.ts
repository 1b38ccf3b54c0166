import { stat } from 'node:fs/promises'
import { type MirrorSet, noMirrors } from '../../core/cluster.ts'
import { describeError } from '../../core/errors.ts'
import type { Logger, Metrics, Service, Subscribable } from '../../core/ports.ts'
import { readRegistries } from './config-files.ts'

/** How often the file is looked at; a poll also sees a mounted ConfigMap, whose links are exchanged. */
const pollIntervalMs = 2_000

export interface MirrorsFile extends Service, Subscribable<MirrorSet> {
  /** Why the file as it is now can't be used, in one line; the last good one goes on. */
  problem(): string | undefined
}

/**
 * The registries that registries.yaml says to mirror, followed while the node runs. A file that is absent mirrors nothing.
 * `start` throws StarlingError REGISTRIES_INVALID; later a bad file changes nothing and is reported.
 */
export function createMirrorsFile(options: {
  readonly file: string
  readonly log: Logger
  readonly metrics: Metrics
}): MirrorsFile {
  const { file, log, metrics } = options
  const listeners = new Set<(mirrors: MirrorSet) => void>()
  let mirrors = noMirrors
  let problem: string | undefined
  let seen = ''
  let timer: NodeJS.Timeout | undefined
  let polling = false

  async function read(): Promise<MirrorSet> {
    const plan = await readRegistries(file)
    for (const warning of plan.warnings) log.warn({ file }, warning.format())
    return plan.mirrors
  }

  /** Changes whenever the content may have changed. */
  async function fingerprint(): Promise<string> {
    try {
      const found = await stat(file)
      return `${found.ino} ${found.size} ${found.mtimeMs}`
    } catch (error) {
      return describeError(error)
    }
  }

  async function poll(): Promise<void> {
    const now = await fingerprint()
    if (now === seen) return
    seen = now
    try {
      const next = await read()
      problem = undefined
      if (JSON.stringify(next) === JSON.stringify(mirrors)) return
      mirrors = next
      log.info({ file, mirrors: next.names, wildcard: next.wildcard }, 'mirrored registries changed')
      for (const listener of [...listeners]) listener(next)
    } catch (error) {
      problem = describeError(error)
      metrics.count('starling_reload_failures_total')
      log.error({ file, problem }, 'the registries file cannot be used; the last good one goes on')
    }
  }

  return {
    async start() {
      seen = await fingerprint()
      mirrors = await read()
      timer = setInterval(() => {
        if (polling) return
        polling = true
        void poll().finally(() => {
          polling = false
        })
      }, pollIntervalMs).unref()
    },
    async stop() {
      clearInterval(timer)
    },
    current: () => mirrors,
    subscribe(listener) {
      listeners.add(listener)
      return () => void listeners.delete(listener)
    },
    problem: () => problem,
  }
}
