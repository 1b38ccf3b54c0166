import { stat } from 'node:fs/promises'
import type { RegistriesPlan } from '../../config/registries-file.ts'
import { flightRules, tagRules } from '../../config/tag-policy.ts'
import { noMirrors } from '../../core/cluster.ts'
import type { NodeConfig } from '../../core/config.ts'
import type { CredentialSet } from '../../core/credentials.ts'
import { describeError, StarlingError } from '../../core/errors.ts'
import type { Logger, Metrics, Service, Subscribable } from '../../core/ports.ts'
import type { Settings, SettingsSet } from '../../core/settings.ts'
import { keysThatAsk, waitingKeys } from './change-effects.ts'
import { readConfig, readRegistries } from './config-files.ts'

/** How often the files are looked at; a poll also sees a mounted ConfigMap, whose links are exchanged. */
const pollIntervalMs = 2_000

export interface LiveFilesOptions {
  readonly config: NodeConfig
  /** Where `config` is from; undefined: it does not change. */
  readonly configFile?: string | undefined
  /** How the configuration is read anew; default: to look at it. */
  readonly readConfig?: ((file: string) => Promise<NodeConfig>) | undefined
  /** False while the servers of the cluster have mirroring off: then nothing is mirrored, whatever the files say. */
  readonly sharingAllowed?: Subscribable<boolean> | undefined
  /** Reads and checks the trust files of a configuration; undefined: they do not change. */
  readonly loadCredentials?: ((config: NodeConfig) => Promise<CredentialSet>) | undefined
  readonly credentials?: (Subscribable<CredentialSet> & { replace(set: CredentialSet): void }) | undefined
  readonly log: Logger
  readonly metrics: Metrics
}

/** The files of a node, followed while it runs: config.yaml, registries.yaml and the trust files. */
export interface LiveFiles extends Service, Settings {
  config(): NodeConfig
  registries(): RegistriesPlan
  /** Why the files as they are now can't be used, in one line; the last good ones go on. */
  problem(): string | undefined
  /** What of registries.yaml is passed over or left out, a line each with its position. */
  warnings(): readonly string[]
  /** Keys of config.yaml that have changed and count only from the next start. */
  pending(): readonly string[]
  /** Looks at the files now. Never throws: what is wrong is reported and kept in `problem`. */
  reload(): Promise<void>
  /** Told after every change that was applied. */
  onApplied(listener: (config: NodeConfig, before: NodeConfig) => void): () => void
}

interface Loaded {
  readonly config: NodeConfig
  readonly registries: RegistriesPlan
  readonly credentials: CredentialSet | undefined
}

/** What a running node is bound to. */
const fixedKeys = keysThatAsk('next start')

/**
 * Follows the files: a change is read and checked as a whole, and applied only where all of it is good. A registries.yaml
 * that is absent mirrors nothing. `start` throws StarlingError REGISTRIES_INVALID.
 */
export function createLiveFiles(options: LiveFilesOptions): LiveFiles {
  const { log, metrics, configFile, credentials } = options
  const settingsListeners = new Set<(settings: SettingsSet) => void>()
  const appliedListeners = new Set<(config: NodeConfig, before: NodeConfig) => void>()
  let loaded: Loaded
  let settings: SettingsSet = { mirrors: { names: [], wildcard: false } }
  let problem: string | undefined
  let pending: readonly string[] = []
  let seen = ''
  let timer: NodeJS.Timeout | undefined
  let turn: Promise<void> = Promise.resolve()
  let polling = false
  let unsubscribe: (() => void) | undefined

  const readAnew = options.readConfig ?? ((file: string) => readConfig(file))
  const isAllowed = () => options.sharingAllowed?.current() ?? true
  const asAllowed = (plan: RegistriesPlan): RegistriesPlan =>
    isAllowed() ? plan : { ...plan, mirrors: noMirrors }

  /** Changes whenever the content of a file may have changed. */
  async function fingerprint(config: NodeConfig): Promise<string> {
    const trust = options.loadCredentials === undefined ? [] : Object.values(config.trust)
    const files = [configFile, config.registries, ...trust].filter((file) => file !== undefined)
    const states = files.map(async (file) => {
      try {
        const found = await stat(file)
        return `${file} ${found.ino} ${found.size} ${found.mtimeMs} ${found.mode}`
      } catch (error) {
        return describeError(error)
      }
    })
    return [...(await Promise.all(states)), `allowed ${isAllowed()}`].join('\n')
  }

  async function read(): Promise<Loaded> {
    const config = configFile === undefined ? options.config : await readAnew(configFile)
    const registries = asAllowed(await readRegistries(config.registries))
    const set = await options.loadCredentials?.({ ...config, node: options.config.node })
    if (set !== undefined && set.peerId !== credentials?.current().peerId) {
      throw new StarlingError(
        'TRUST_FILE_INVALID',
        'the identity key has changed, which makes another node',
        {
          hint: 'restart the node, or put the old key back',
          position: { file: config.trust.identity },
        },
      )
    }
    return { config, registries, credentials: set }
  }

  function apply(next: Loaded): void {
    const before = loaded
    for (const warning of next.registries.warnings) log.warn({ file: next.registries.file }, warning.format())
    pending = waitingKeys(options.config, next.config)
    // What a running node is bound to stays as it was, so that all of its parts agree.
    const fixed = Object.fromEntries(fixedKeys.map((key) => [key, options.config[key]]))
    loaded = { ...next, config: { ...next.config, ...fixed } }
    const { config, registries } = loaded
    const changed = differs(registries.mirrors, settings.mirrors)
    settings = {
      mirrors: registries.mirrors,
      tagRules: tagRules(config, registries),
      flights: flightRules(config),
    }
    if (next.credentials !== undefined && differs(next.credentials, before.credentials)) {
      credentials?.replace(next.credentials)
    }
    if (changed) {
      const { names, wildcard } = settings.mirrors
      log.info({ file: registries.file, mirrors: names, wildcard }, 'mirrored registries changed')
      for (const listener of [...settingsListeners]) listener(settings)
    }
    for (const listener of [...appliedListeners]) listener(config, before.config)
    if (pending.length > 0) log.warn({ keys: pending }, 'changes of these keys count from the next start')
    metrics.count('starling_reloads_total')
  }

  async function look(): Promise<void> {
    const now = await fingerprint(loaded.config)
    if (now === seen) return
    try {
      const next = await read()
      // Written to while it was read: the next look sees it whole.
      seen = now === (await fingerprint(loaded.config)) ? now : ''
      if (seen === '') return
      problem = undefined
      apply(next)
      seen = await fingerprint(loaded.config)
    } catch (error) {
      seen = now
      problem = describeError(error)
      metrics.count('starling_reload_failures_total')
      log.error({ problem }, 'a changed file cannot be used; nothing is changed and the last good ones go on')
    }
  }

  const reload = () => {
    turn = turn.then(look)
    return turn
  }

  return {
    async start() {
      const registries = asAllowed(await readRegistries(options.config.registries))
      for (const warning of registries.warnings) log.warn({ file: registries.file }, warning.format())
      loaded = { config: options.config, registries, credentials: credentials?.current() }
      settings = {
        mirrors: registries.mirrors,
        tagRules: tagRules(options.config, registries),
        flights: flightRules(options.config),
      }
      seen = await fingerprint(options.config)
      unsubscribe = options.sharingAllowed?.subscribe(() => void reload())
      timer = setInterval(() => {
        if (polling) return
        polling = true
        void reload().finally(() => {
          polling = false
        })
      }, pollIntervalMs).unref()
    },
    async stop() {
      clearInterval(timer)
      unsubscribe?.()
      await turn
    },
    current: () => settings,
    subscribe(listener) {
      settingsListeners.add(listener)
      return () => void settingsListeners.delete(listener)
    },
    config: () => loaded?.config ?? options.config,
    registries: () => loaded.registries,
    problem: () => problem,
    warnings: () => (loaded?.registries.warnings ?? []).map((warning) => warning.format()),
    pending: () => pending,
    reload,
    onApplied(listener) {
      appliedListeners.add(listener)
      return () => void appliedListeners.delete(listener)
    },
  }
}

/** Keys (KeyObject) are left out: the identity never changes, and JSON shows the rest. */
function differs(a: unknown, b: unknown): boolean {
  return JSON.stringify(a) !== JSON.stringify(b)
}
