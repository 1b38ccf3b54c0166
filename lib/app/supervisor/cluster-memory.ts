import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { StarlingError, systemErrorCode } from '../../core/errors.ts'
import type { ClusterView } from '../../trust/cluster-view.ts'
import { readTrustText } from '../trust/text.ts'
import { writePrivateFile } from './private-file.ts'

/** What a node remembers of its cluster without asking a server; no secret. */
export interface ClusterMemory {
  readonly revision: string
  readonly embeddedRegistry: boolean
  readonly servers: ClusterView['servers']
  readonly revocations: ClusterView['revocations']
  readonly rotation?: ClusterView['rotation'] | undefined
  /** `address:port` of members, for company. */
  readonly peers: readonly string[]
}

const memoryFile = 'cluster.json'
const passwordFile = 'node-password'

export const noMemory: ClusterMemory = {
  revision: '',
  embeddedRegistry: false,
  servers: [],
  revocations: [],
  peers: [],
}

/** `noMemory` where there is nothing that can be used. */
export async function readClusterMemory(dataDir: string): Promise<ClusterMemory> {
  try {
    const file = join(dataDir, memoryFile)
    const { text } = await readTrustText(file, { what: 'what is known of the cluster', secret: false })
    const memory = { ...noMemory, ...(JSON.parse(text) as Partial<ClusterMemory>) }
    const lists = [memory.servers, memory.revocations, memory.peers]
    return lists.every(Array.isArray) ? memory : noMemory
  } catch {
    return noMemory
  }
}

/** @throws StarlingError DISK_FULL, TRUST_FILE_INVALID */
export async function writeClusterMemory(dataDir: string, memory: ClusterMemory): Promise<void> {
  await writePrivateFile(join(dataDir, memoryFile), `${JSON.stringify(memory, null, 1)}\n`)
}

/**
 * The secret that binds the name of this node to this machine; made at its first start.
 * @throws StarlingError TRUST_FILE_UNSAFE, TRUST_FILE_INVALID, DISK_FULL
 */
export async function ownPassword(dataDir: string): Promise<string> {
  const file = join(dataDir, passwordFile)
  try {
    const { text } = await readTrustText(file, { what: 'the password of this node', secret: true })
    return text.trim()
  } catch (error) {
    // Another one would make this machine a stranger to its own name.
    if (!(error instanceof StarlingError) || systemErrorCode(error.cause) !== 'ENOENT') throw error
  }
  const password = randomBytes(32).toString('hex')
  await writePrivateFile(file, `${password}\n`)
  return password
}
