import { type FSWatcher, watch } from 'node:fs'
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { type Digest, isDigest } from '../core/digest.ts'
import { describeError, systemErrorCode } from '../core/errors.ts'

export interface FolderWatchListener {
  /** A blob's file appeared or went. */
  changed(digest: Digest): void
  /** Anything may have changed: watching began, or events were lost. */
  rescan(): void
  /** Watching is not possible; what changes is found by audits. Told once. */
  failed(reason: string): void
}

/**
 * Watches `blobs/sha256` of a content folder. Containerd makes that folder with its first blob, so as long as it is
 * absent the nearest ancestor is watched instead.
 */
export class FolderWatch {
  readonly #folders: readonly string[]
  readonly #listener: FolderWatchListener
  #watcher: FSWatcher | undefined
  #watched: { readonly folder: string; readonly inode: number } | undefined
  #attaching = false
  #again = false
  #closed = false

  constructor(contentPath: string, listener: FolderWatchListener) {
    this.#folders = [join(contentPath, 'blobs', 'sha256'), join(contentPath, 'blobs'), contentPath]
    this.#listener = listener
    this.#attach()
  }

  close(): void {
    this.#closed = true
    this.#watcher?.close()
    this.#watcher = undefined
  }

  /** Watches anew where the folder is another than the one that is watched: nobody tells when an ancestor is moved. */
  async check(): Promise<void> {
    const [blobs = ''] = this.#folders
    try {
      const inode = await inodeOf(blobs)
      const same = this.#watched?.folder === blobs && this.#watched.inode === inode
      if (inode !== undefined && !same) this.#attach()
    } catch (error) {
      this.#fail(describeError(error))
    }
  }

  #attach(): void {
    if (this.#closed) return
    if (this.#attaching) {
      this.#again = true
      return
    }
    this.#attaching = true
    this.#tryFolders()
      .catch((error: unknown) => this.#fail(describeError(error)))
      .finally(() => {
        this.#attaching = false
        const again = this.#again
        this.#again = false
        if (again) this.#attach()
      })
  }

  async #tryFolders(): Promise<void> {
    this.#watcher?.close()
    this.#watcher = undefined
    const [blobs] = this.#folders
    for (const folder of this.#folders) {
      // The asynchronous look first: a file system that hangs must not hang the thread in inotify_add_watch.
      const inode = await inodeOf(folder)
      if (inode === undefined) continue
      if (this.#closed) return
      const watcher = this.#open(folder, folder === blobs)
      if (watcher === undefined) continue
      this.#watcher = watcher
      this.#watched = { folder, inode }
      if (folder === blobs) this.#listener.rescan()
      // The child may have been made between the look and the watch.
      else if (await this.#deeperExists(folder)) this.#again = true
      return
    }
    this.#fail(`${this.#folders.at(-1)} does not exist`)
  }

  #open(folder: string, isBlobs: boolean): FSWatcher | undefined {
    try {
      const watcher = watch(folder, (event, name) => {
        if (!isBlobs) this.#attach()
        else if (name === null) this.#listener.rescan()
        else this.#heard(event, name)
      })
      watcher.on('error', (error) => {
        watcher.close()
        this.#fail(describeError(error))
      })
      return watcher
    } catch (error) {
      if (systemErrorCode(error) === 'ENOENT') return undefined
      throw error
    }
  }

  #heard(event: string, name: string): void {
    const digest = `sha256:${name}`
    // A folder that is deleted or moved is reported under its own name.
    if (name === 'sha256') this.#attach()
    else if (event === 'rename' && isDigest(digest)) this.#listener.changed(digest)
  }

  async #deeperExists(folder: string): Promise<boolean> {
    const deeper = this.#folders[this.#folders.indexOf(folder) - 1]
    return deeper !== undefined && (await inodeOf(deeper)) !== undefined
  }

  #fail(reason: string): void {
    if (this.#closed) return
    this.close()
    this.#listener.failed(reason)
  }
}

/** Undefined where there is no such folder. */
async function inodeOf(path: string): Promise<number | undefined> {
  try {
    return (await stat(path)).ino
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return undefined
    throw error
  }
}
