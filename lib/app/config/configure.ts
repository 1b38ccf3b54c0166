import { access, constants } from 'node:fs/promises'
import { planHosts, type RefusedFolder } from '../../config/hosts-plan.ts'
import { type HostsEntry, mirrorUrl } from '../../config/hosts-toml.ts'
import type { MirrorSet } from '../../core/cluster.ts'
import type { NodeConfig } from '../../core/config.ts'
import { StarlingError } from '../../core/errors.ts'
import { applyHosts, type HostsDisk, nodeHostsDisk, readHosts } from './hosts-folder.ts'

export interface ConfigureOptions {
  readonly config: NodeConfig
  readonly mirrors: MirrorSet
  /** Instead of `config.certsDir`. */
  readonly certsDir?: string
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
}

/**
 * Brings containerd's `hosts.toml` files in step with the mirrored registries. Each file changes by rename, so that
 * containerd sees the old or the new one whenever it looks and wherever this ends.
 * @throws StarlingError CONFIG_INVALID, TRUST_FILE_INVALID, DISK_FULL
 */
export async function configureHosts(options: ConfigureOptions): Promise<ConfigureResult> {
  const { config, mirrors } = options
  const certsDir = options.certsDir ?? config.certsDir
  const disk = options.disk ?? nodeHostsDisk
  const registries = [...mirrors.names, ...(mirrors.wildcard ? ['*'] : [])]
  const url = mirrorUrl(config.registry.listen)
  if (registries.length > 0) {
    if (url === undefined) {
      throw new StarlingError('CONFIG_INVALID', 'registry.listen has no port that containerd could be told', {
        hint: 'give it a port other than 0',
      })
    }
    await checkTrustFiles(config)
  }
  const desired = registries.map(
    (registry): HostsEntry => ({
      registry,
      mirrorUrl: url ?? '',
      ca: config.trust.serverCa,
      clientCert: config.trust.clientCert,
      clientKey: config.trust.clientKey,
    }),
  )
  const current = await readHosts(certsDir, disk)
  const plan = planHosts(desired, current)
  await applyHosts(certsDir, plan.operations, disk)
  const foldersOf = (type: 'write' | 'remove') =>
    plan.operations.filter((operation) => operation.type === type).map((operation) => operation.folder)
  return {
    certsDir,
    written: foldersOf('write'),
    unchanged: plan.unchanged,
    removed: foldersOf('remove'),
    refused: plan.refused,
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
