import { randomUUID } from 'node:crypto'
import { mkdir, open, readdir, readFile, rename, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { type Digest, digestHex, isDigest } from '../../core/digest.ts'
import { decodeLocalMap, encodeLocalMap, type LocalMap } from './local-map.ts'

/** Larger files are no maps of ours. */
const maxFileSizeBytes = 8 * 2 ** 20

/** The maps of this node's blobs, a file each, named by the digest. Each write leaves the old or the new. */
export class MapFolder {
  readonly #path: string

  constructor(path: string) {
    this.#path = path
  }

  /** Undefined where there is none, or none that can be used. Never rejects. */
  async load(digest: Digest): Promise<LocalMap | undefined> {
    const file = join(this.#path, digestHex(digest))
    try {
      if ((await stat(file)).size > maxFileSizeBytes) return undefined
      return decodeLocalMap(await readFile(file), digest)
    } catch {
      return undefined
    }
  }

  /** Rejects with a system error where it can't be written. */
  async save(local: LocalMap): Promise<void> {
    const file = join(this.#path, digestHex(local.map.digest))
    const temporary = `${file}.${randomUUID()}`
    await mkdir(this.#path, { recursive: true, mode: 0o700 })
    try {
      const handle = await open(temporary, 'wx', 0o600)
      try {
        await handle.writeFile(encodeLocalMap(local))
      } finally {
        await handle.close()
      }
      await rename(temporary, file)
    } catch (error) {
      await rm(temporary, { force: true }).catch(() => {})
      throw error
    }
  }

  /** Removes the files of all blobs that `keep` does not want: the folder is bounded by the store. */
  async prune(keep: (digest: Digest) => boolean): Promise<number> {
    const names = await readdir(this.#path).catch(() => [])
    let removed = 0
    for (const name of names) {
      const digest = `sha256:${name}`
      if (isDigest(digest) && keep(digest)) continue
      await rm(join(this.#path, name), { force: true }).catch(() => {})
      removed++
    }
    return removed
  }
}
