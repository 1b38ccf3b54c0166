import type { Digest } from '../core/digest.ts'
import { describeError } from '../core/errors.ts'
import type { Logger } from '../core/ports.ts'
import type { ContainerdClient } from './client.ts'
import { defaultContentPath, fileSize, folderProblem } from './content-folder.ts'

const sampleSize = 16

/**
 * The content folder to read blobs from: the configured one, else the one that containerd names, else the default.
 * Undefined, with a line in the log, where it can't be read or is not this containerd's: blobs then come over gRPC.
 * @throws StarlingError STORE_UNAVAILABLE
 */
export async function resolveContentPath(
  client: ContainerdClient,
  configured: string | undefined,
  namespaces: readonly string[],
  log: Logger,
): Promise<string | undefined> {
  const exported = await client.contentPath()
  const contentPath = configured ?? exported ?? defaultContentPath
  const problem = await folderProblem(contentPath)
  if (problem !== undefined) {
    log.info(
      { contentPath, problem },
      'the content folder cannot be read; blobs are read over gRPC, which is slower',
    )
    return undefined
  }
  if (contentPath !== exported && !(await holdsContentOf(client, contentPath, namespaces))) {
    log.warn(
      { contentPath, exported },
      'the content folder is not that of this containerd; blobs are read over gRPC',
    )
    return undefined
  }
  return contentPath
}

/** Does the folder hold any of the first blobs that containerd lists? A store without blobs says nothing against it. */
async function holdsContentOf(
  client: ContainerdClient,
  contentPath: string,
  namespaces: readonly string[],
): Promise<boolean> {
  const sample: Digest[] = []
  for (const namespace of namespaces) {
    for await (const { digest } of client.contents(namespace)) {
      if (sample.push(digest) >= sampleSize) break
    }
    if (sample.length >= sampleSize) break
  }
  for (const digest of sample) {
    if ((await fileSize(contentPath, digest)) !== undefined) return true
  }
  return sample.length === 0
}

/** Logs which configured namespaces do not exist: a common mistake, and legal, for they may come. */
export async function reportNamespaces(
  client: ContainerdClient,
  namespaces: readonly string[],
  log: Logger,
): Promise<void> {
  try {
    const existing = await client.namespaces()
    const absent = namespaces.filter((namespace) => !existing.includes(namespace))
    if (absent.length > 0) {
      log.info(
        { absent, existing: existing.slice(0, 20) },
        'configured namespaces do not exist in containerd yet',
      )
    }
  } catch (error) {
    log.warn({ problem: describeError(error) }, 'the namespaces of containerd could not be listed')
  }
}
