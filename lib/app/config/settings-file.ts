import { stat } from 'node:fs/promises'
import { noMirrors } from '../../core/cluster.ts'
import { describeError } from '../../core/errors.ts'
import type { Logger, Metrics, Service } from '../../core/ports.ts'
import type { Settings, SettingsSet } from '../../core/settings.ts'
import { readRegistries } from './config-files.ts'

/** How often the file is looked at; a poll also sees a mounted ConfigMap, whose links are exchanged. */
const pollIntervalMs = 2_000

export interface SettingsFile extends Service, Settings {
  /** Why the file as it is now can't be used, in one line; the last good one goes on. */
  problem(): string | undefined
}

/**
 * The settings of a node on files: what registries.yaml says to mirror, followed while the node runs. A file that is
 * absent mirrors nothing.
 * `start` throws StarlingError REGISTRIES_INVALID; later a bad file changes nothing and is reported.
 */
export function createSettingsFile(options: {
  readonly file: string
  readonly log: Logger
  readonly metrics: Metrics
}): SettingsFile {
  const { file, log, metrics } = options
  const listeners = new Set<(settings: SettingsSet) => void>()
  let settings: SettingsSet = { mirrors: noMirrors }
  let problem: string | undefined
  let seen = ''
  let timer: NodeJS.Timeout | undefined
  let polling = false

  async function read(): Promise<SettingsSet> {
    const plan = await readRegistries(file)
    for (const warning of plan.warnings) log.warn({ file }, warning.format())
    return { mirrors: plan.mirrors }
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
      if (JSON.stringify(next) === JSON.stringify(settings)) return
      settings = next
      const { names, wildcard } = next.mirrors
      log.info({ file, mirrors: names, wildcard }, 'mirrored registries changed')
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
      settings = await read()
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
    current: () => settings,
    subscribe(listener) {
      listeners.add(listener)
      return () => void listeners.delete(listener)
    },
    problem: () => problem,
  }
}
