import { access, constants } from 'node:fs/promises'
import { join } from 'node:path'
import type { NodeConfig } from '../../core/config.ts'
import { systemErrorCode } from '../../core/errors.ts'

/**
 * The folder of the content, and why it can't be read, in one line.
 * @throws StarlingError STORE_UNAVAILABLE where containerd does not answer
 */
export async function contentFacts(
  store: NodeConfig['store'],
): Promise<readonly [place: string | undefined, problem: string | undefined]> {
  if (store.type === 'oci-layout') {
    try {
      await access(join(store.path, 'blobs'), constants.R_OK | constants.X_OK)
      return [store.path, undefined]
    } catch (error) {
      return [store.path, `${store.path} is no image layout that can be read (${systemErrorCode(error)})`]
    }
  }
  const { ContainerdClient } = await import('../../containerd/client.ts')
  const { defaultContentPath, folderProblem } = await import('../../containerd/content-folder.ts')
  const { probeSocket } = await import('../../containerd/probe.ts')
  await probeSocket(store.socket)
  const client = new ContainerdClient(store.socket)
  try {
    const place = store.contentPath ?? (await client.contentPath()) ?? defaultContentPath
    return [place, await folderProblem(place)]
  } finally {
    client.close()
  }
}
