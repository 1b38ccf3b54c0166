import { dirname, join } from 'node:path'
import { configDefaults } from '../../config/config-defaults.ts'
import type { RegistriesPlan } from '../../config/registries-file.ts'
import { noMirrors } from '../../core/cluster.ts'
import type { NodeConfig } from '../../core/config.ts'
import { readClusterMemory } from '../supervisor/cluster-memory.ts'
import { readRegistries } from './config-files.ts'

/** Does the node get its certificates from servers, or make them as one? Then it works from what they last told. */
export function isJoinedConfig({ trust, dataDir }: NodeConfig): boolean {
  return dirname(trust.psk) === join(dataDir, configDefaults.joinedTrustDir)
}

/**
 * registries.yaml as a node works with it: where it has joined servers that have mirroring off, nothing is mirrored.
 * For commands that run beside the node; what the servers said last is on the disk.
 * @throws StarlingError, StarlingErrors REGISTRIES_INVALID
 */
export async function readSharedRegistries(config: NodeConfig): Promise<RegistriesPlan> {
  const plan = await readRegistries(config.registries)
  if (!isJoinedConfig(config) || (await readClusterMemory(config.dataDir)).embeddedRegistry) return plan
  return { ...plan, mirrors: noMirrors }
}
