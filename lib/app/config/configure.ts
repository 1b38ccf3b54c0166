import { access, constants } from 'node:fs/promises'
import { type HostsOperation, planCleanup, planHosts, type RefusedFolder } from '../../config/hosts-plan.ts'
import { mirrorUrl } from '../../config/hosts-toml.ts'
import type { RegistriesPlan } from '../../config/registries-file.ts'
import {
  desiredHosts,
  hostsWarnings,
  type MirrorAccess,
  type RegistryHosts,
} from '../../config/registry-hosts.ts'
import type { NodeConfig } from '../../core/config.ts'
import { StarlingError } from '../../core/errors.ts'
import {
  applyHosts,
  clearScratch,
  type HostsDisk,
  nodeHostsDisk,
  readHosts,
  removeEmptyCertsDir,
} from './hosts-folder.ts'

export interface ConfigureOptions {
  readonly config: NodeConfig
  readonly registries: RegistriesPlan
  /** Instead of `config.certsDir`. */
  readonly certsDir?: string
  /** Only says what would be done. */
  readonly dryRun?: boolean
  /** The mirror of this node is not there: only what the file itself says is written. */
  readonly withoutMirror?: boolean
  /** Instead of the file system, for tests that break it. */
  readonly disk?: HostsDisk
}

/** Folders below `certsDir`, by what was done. */
export interface ConfigureResult {
  readonly certsDir: string
  readonly written: readonly string[]
  readonly unchanged: readonly string[]
  readonly removed: readonly string[]
  readonly refused: readonly RefusedFolder[]
  /** What was there and what is to be there, for those that change; undefined: no file. */
  readonly changes: readonly {
    readonly folder: string
    readonly before: string | undefined
    readonly after: string | undefined
  }[]
}

/**
 * Brings containerd's `hosts.toml` files in step with registries.yaml. Each file changes by rename, so that containerd
 * sees the old or the new one whenever it looks and wherever this ends.
 * @throws StarlingError CONFIG_INVALID, TRUST_FILE_INVALID, DISK_FULL
 */
export async function configureHosts(options: ConfigureOptions): Promise<ConfigureResult> {
  const { config, disk = nodeHostsDisk, dryRun = false } = options
  const certsDir = options.certsDir ?? config.certsDir
  const desired = wantedHosts(options)
  if (
    desired.some(({ hosts, server }) => [...hosts, server].some((host) => host?.ca === config.trust.serverCa))
  ) {
    await checkTrustFiles(config)
  }
  if (!dryRun) await clearScratch(certsDir, disk)
  const current = await readHosts(certsDir)
  const plan = planHosts(desired, current)
  if (!dryRun) await applyHosts(certsDir, plan.operations, disk)
  return resultOf(certsDir, plan, current)
}

/** Takes away what `configureHosts` wrote and puts back what was there. @throws StarlingError CONFIG_INVALID, DISK_FULL */
export async function cleanupHosts(options: {
  readonly certsDir: string
  readonly dryRun?: boolean
  readonly disk?: HostsDisk
}): Promise<ConfigureResult> {
  const { certsDir, disk = nodeHostsDisk, dryRun = false } = options
  if (!dryRun) await clearScratch(certsDir, disk)
  const current = await readHosts(certsDir)
  const plan = planCleanup(current)
  if (!dryRun) {
    await applyHosts(certsDir, plan.operations, disk)
    await removeEmptyCertsDir(certsDir, disk)
  }
  return resultOf(certsDir, plan, current)
}

/** @throws StarlingError CONFIG_INVALID */
function wantedHosts({ config, registries, withoutMirror = false }: ConfigureOptions): RegistryHosts[] {
  const disableDefaultEndpoint = config.disableDefaultRegistryEndpoint ?? false
  const sharesNothing = registries.mirrors.names.length === 0 && !registries.mirrors.wildcard
  if (sharesNothing) return desiredHosts(registries, { mirror: undefined, disableDefaultEndpoint })
  const all = desiredHosts(registries, { mirror: mirrorAccess(config), disableDefaultEndpoint })
  if (!withoutMirror) return all
  // Where nothing but the mirror may be asked, a refused connection is what is meant.
  const only = all.filter(({ hosts, server }) => hosts.length === 0 && server?.dialTimeout !== undefined)
  const kept = new Set(only.map(({ registry }) => registry))
  const rest = desiredHosts(registries, { mirror: undefined, disableDefaultEndpoint })
  return [...only, ...rest.filter(({ registry }) => !kept.has(registry))]
}

/** What of registries.yaml works in some containerds only. */
export function hostsWarningsOf(config: NodeConfig, registries: RegistriesPlan): StarlingError[] {
  const disableDefaultEndpoint = config.disableDefaultRegistryEndpoint ?? false
  return hostsWarnings(registries, { mirror: mirrorAccess(config), disableDefaultEndpoint })
}

/** How containerd reaches the mirror of this node. @throws StarlingError CONFIG_INVALID */
export function mirrorAccess({ registry, trust }: NodeConfig): MirrorAccess {
  const url = mirrorUrl(registry.listen)
  if (url === undefined) {
    throw new StarlingError('CONFIG_INVALID', 'registry.listen has no port that containerd could be told', {
      hint: 'give it a port other than 0',
    })
  }
  return { url, ca: trust.serverCa, clientCert: trust.clientCert, clientKey: trust.clientKey }
}

function resultOf(
  certsDir: string,
  plan: ReturnType<typeof planHosts>,
  current: Awaited<ReturnType<typeof readHosts>>,
): ConfigureResult {
  const textOf = new Map(
    current.map(({ folder, hosts }) => [folder, typeof hosts === 'object' ? hosts.text : undefined]),
  )
  const foldersOf = (type: HostsOperation['type']) =>
    plan.operations.filter((operation) => operation.type === type).map((operation) => operation.folder)
  return {
    certsDir,
    written: foldersOf('write'),
    unchanged: plan.unchanged,
    removed: foldersOf('remove'),
    refused: plan.refused,
    changes: plan.operations.map((operation) => ({
      folder: operation.folder,
      before: textOf.get(operation.folder),
      after: operation.type === 'write' ? operation.text : undefined,
    })),
  }
}

/** A hosts.toml that names a file which is not there makes every pull of its registry fail. */
async function checkTrustFiles({ trust }: NodeConfig): Promise<void> {
  for (const file of [trust.serverCa, trust.clientCert, trust.clientKey]) {
    await access(file, constants.R_OK).catch((error: unknown) => {
      throw new StarlingError('TRUST_FILE_INVALID', 'containerd will need this file, and it cannot be read', {
        hint: 'make it with starling trust init, or correct trust in the configuration',
        position: { file },
        cause: error,
      })
    })
  }
}
