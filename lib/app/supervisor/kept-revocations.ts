import { join } from 'node:path'
import { configDefaults } from '../../config/config-defaults.ts'
import type { ClusterView } from '../../trust/cluster-view.ts'
import {
  formatRevocations,
  mergeRevocations,
  readRevocations,
  type SignedRevocation,
} from '../../trust/revocation-list.ts'
import { readTrustText } from '../trust/text.ts'

/**
 * The list of revoked nodes to keep: what a server tells, and what neighbours have told that it doesn't know yet. Empty text
 * where nobody is revoked.
 */
export async function mergedRevocations(
  dataDir: string,
  { revocations, serverCaPem }: Pick<ClusterView, 'revocations' | 'serverCaPem'>,
): Promise<string> {
  const file = join(dataDir, configDefaults.joinedTrustDir, configDefaults.trustFiles.revocations)
  const all = mergeRevocations(revocations, await readKept(file, serverCaPem))
  return all.length === 0 ? '' : formatRevocations(all)
}

/** What can't be used, as after an exchange of the CA, the servers tell anew. */
async function readKept(file: string, serverCaPem: string): Promise<readonly SignedRevocation[]> {
  try {
    const { text } = await readTrustText(file, { what: 'the list of revoked nodes', secret: false })
    return readRevocations(text, serverCaPem, file)
  } catch {
    return []
  }
}
