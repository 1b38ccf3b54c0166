import { type FSWatcher, watch } from 'node:fs'
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { type Digest, isDigest } from '../core/digest.ts'
import { systemErrorCode } from '../core/errors.ts'
import { blobsFolder } from './layout.ts'

export interface FolderWatchListener {
  /** Something in the layout changed; `written` is the blob whose file was written in place, if it was that. */
  changed(written: Digest | undefined): void
  /** Watching is not possible; what changes is found by audits. */
  failed(reason: string): void
}

/** Watches an image-layout folder and its blobs. `attach` is called again whenever folders may have come or gone. */
export class FolderWatch {
  readonly #folders: readonly string[]
  readonly #blobs: string
  readonly #listener: FolderWatchListener
  readonly #watchers = new Map<string, { readonly watcher: FSWatcher; readonly inode: number }>()
  #closed = false

  constructor(path: string, listener: FolderWatchListener) {
    this.#blobs = blobsFolder(path)
    this.#folders = [path, join(path, 'blobs'), this.#blobs]
    this.#listener = listener
  }

  async attach(): Promise<void> {
    for (const folder of this.#folders) {
      // The asynchronous look first: a file system that hangs must not hang the thread in inotify_add_watch.
      const inode = await inodeOf(folder)
      if (this.#closed) return
      if (this.#watchers.get(folder)?.inode === inode) continue
      this.#drop(folder)
      if (inode === undefined) continue
      try {
        this.#open(folder, inode)
      } catch (error) {
        if (systemErrorCode(error) === 'ENOENT') continue
        this.#listener.failed(`${folder}: ${systemErrorCode(error) ?? String(error)}`)
      }
    }
  }

  close(): void {
    this.#closed = true
    for (const { watcher } of this.#watchers.values()) watcher.close()
    this.#watchers.clear()
  }

  #open(folder: string, inode: number): void {
    const watcher = watch(folder, (event, name) => {
      // A folder that is deleted or moved is reported under its own name, as is a child that has the same.
      if (name !== null && folder.endsWith(`/${name}`)) this.#drop(folder)
      const digest = `sha256:${name}`
      this.#listener.changed(
        folder === this.#blobs && event === 'change' && isDigest(digest) ? digest : undefined,
      )
    })
    watcher.on('error', (error) => {
      this.#drop(folder)
      this.#listener.failed(`${folder}: ${systemErrorCode(error) ?? error.message}`)
    })
    this.#watchers.set(folder, { watcher, inode })
  }

  #drop(folder: string): void {
    this.#watchers.get(folder)?.watcher.close()
    this.#watchers.delete(folder)
  }
}

/** Undefined where there is no such folder. */
async function inodeOf(path: string): Promise<number | undefined> {
  try {
    const stats = await stat(path)
    return stats.isDirectory() ? stats.ino : undefined
  } catch {
    return undefined
  }
}
