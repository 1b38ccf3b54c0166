import { createOciLayoutReader } from '../../lib/oci-layout/blob-reader.ts'
import { MemoryBlobs } from './harness.ts'

/** Blobs in files of an OCI layout, opened as a node does. */
export class FileBlobs extends MemoryBlobs {
  readonly #path: string

  /** @param path the folder of the layout */
  constructor(path: string) {
    super()
    this.#path = path
  }

  override reader() {
    return createOciLayoutReader({ kind: 'oci-layout', path: this.#path })
  }
}
