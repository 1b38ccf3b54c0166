import type { RegistriesPlan } from '../../config/registries-file.ts'
import type { NodeConfig } from '../../core/config.ts'
import { describeError } from '../../core/errors.ts'
import type { Logger, Metrics, Service } from '../../core/ports.ts'
import { cleanupHosts, configureHosts } from './configure.ts'

/** K3s and RKE2 write their folder anew at each start; it is put right within this time. */
const lookIntervalMs = 2_000

export interface HostsKeeperOptions {
  readonly config: () => NodeConfig
  readonly registries: () => RegistriesPlan
  readonly log: Logger
  readonly metrics: Metrics
}

/** Keeps containerd's `hosts.toml` files in step while the node runs, where `manageHosts` says so. */
export interface HostsKeeper extends Service {
  /** Brings them in step now. Never throws. */
  sync(): Promise<void>
  /** What stands in the way, in one line. */
  problem(): string | undefined
}

export function createHostsKeeper(options: HostsKeeperOptions): HostsKeeper {
  const { config, registries, log, metrics } = options
  let timer: NodeJS.Timeout | undefined
  let turn: Promise<void> = Promise.resolve()
  let problem: string | undefined
  let keptDir: string | undefined
  let looking = false

  async function keep(): Promise<void> {
    const current = config()
    if (current.manageHosts !== true) {
      problem = undefined
      return
    }
    await tried(async () => {
      if (keptDir !== undefined && keptDir !== current.certsDir) await cleanupHosts({ certsDir: keptDir })
      keptDir = current.certsDir
      const { certsDir, written, removed, refused } = await configureHosts({
        config: current,
        registries: registries(),
      })
      if (written.length > 0 || removed.length > 0) {
        metrics.count('starling_hosts_rewrites_total')
        log.info({ certsDir, written, removed }, "containerd's hosts.toml files were brought in step")
      }
      const [first] = refused
      return first === undefined ? undefined : `${certsDir}/${first.folder}: ${first.reason}; ${first.hint}`
    })
  }

  async function tried(act: () => Promise<string | undefined>): Promise<void> {
    const before = problem
    try {
      problem = await act()
    } catch (error) {
      problem = describeError(error)
    }
    if (problem !== undefined && problem !== before)
      log.warn({ problem }, 'hosts.toml files cannot be kept in step')
  }

  const sync = () => {
    turn = turn.then(keep)
    return turn
  }

  return {
    async start() {
      await sync()
      timer = setInterval(() => {
        if (looking) return
        looking = true
        void sync().finally(() => {
          looking = false
        })
      }, lookIntervalMs).unref()
    },
    async stop() {
      clearInterval(timer)
      await turn
      const current = config()
      if (current.manageHosts !== true || current.removeHostsAtStop !== true) return
      await tried(async () => {
        await configureHosts({ config: current, registries: registries(), withoutMirror: true })
        log.info({ certsDir: current.certsDir }, 'the entry of this node was taken out of hosts.toml')
        return undefined
      })
    },
    sync,
    problem: () => problem,
  }
}
