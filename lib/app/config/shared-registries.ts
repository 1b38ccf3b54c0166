import { dirname, join } from 'node:path'
import { configDefaults } from '../../config/config-defaults.ts'
import type { RegistriesPlan } from '../../config/registries-file.ts'
import { noMirrors } from '../../core/cluster.ts'
import type { NodeConfig } from '../../core/config.ts'
import { readClusterMemory } from '../supervisor/cluster-memory.ts'
import { readRegistries } from './config-files.ts'

/**
 * registries.yaml as a node works with it: where it has joined servers that have mirroring off, nothing is mirrored.
 * For commands that run beside the node; what the servers said last is on the disk.
 * @throws StarlingError, StarlingErrors REGISTRIES_INVALID
 */
export async function readSharedRegistries(config: NodeConfig): Promise<RegistriesPlan> {
  const plan = await readRegistries(config.registries)
  const isJoined = dirname(config.trust.psk) === join(config.dataDir, configDefaults.joinedTrustDir)
  if (!isJoined || (await readClusterMemory(config.dataDir)).embeddedRegistry) return plan
  return { ...plan, mirrors: noMirrors }
}
