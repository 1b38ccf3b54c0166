import assert from 'node:assert/strict'
import type { BlobReader, ContentStore, StoreChange } from '../../lib/core/content-store.ts'
import type { Digest } from '../../lib/core/digest.ts'
import type { Logger, Metrics } from '../../lib/core/ports.ts'
import { StoreView } from '../../lib/core/store-view.ts'
import { eventually } from './eventually.ts'
import type { TestImage } from './oci-image.ts'

/** What a store told, and what it adds up to. */
export class Recording {
  readonly changes: StoreChange[] = []
  readonly view = new StoreView()

  /** Starts the store and waits for its first snapshot. */
  static async of(store: ContentStore): Promise<Recording> {
    const recording = new Recording()
    await store.start((change) => recording.hear(change))
    await eventually(() => recording.changes.length > 0, { what: 'a first snapshot' })
    return recording
  }

  hear(change: StoreChange): void {
    this.changes.push(change)
    this.view.apply(change)
  }

  target(name: string): Digest | undefined {
    return [...this.view.images.values()].find((image) => image.name === name)?.target
  }

  /** Waits until the name points to the image and all its blobs are told. */
  async holds(name: string, image: TestImage): Promise<void> {
    await eventually(
      () =>
        this.target(name) === image.root.digest &&
        [...image.blobs.keys()].every((digest) => this.view.blobs.has(digest)),
      { what: `${name} is told with its blobs` },
    )
  }
}

/** Ports for a store under test; `lines` keeps what was logged, `counts` what was counted. */
export function quietPorts(): {
  log: Logger
  clock: { monotonicMs(): number; wallMs(): number }
  metrics: Metrics
  lines: { level: string; message: string; fields: object }[]
  counts: Map<string, number>
} {
  const lines: { level: string; message: string; fields: object }[] = []
  const counts = new Map<string, number>()
  const at = (level: string) => (fields: object, message: string) => {
    lines.push({ level, message, fields })
  }
  const log: Logger = {
    debug: at('debug'),
    info: at('info'),
    warn: at('warn'),
    error: at('error'),
    child: () => log,
  }
  const metrics: Metrics = {
    count: (name, labels = {}, amount = 1) => {
      const key = [name, ...Object.values(labels)].join(' ')
      counts.set(key, (counts.get(key) ?? 0) + amount)
    },
    observe: () => {},
    set: () => {},
  }
  return { log, clock: { monotonicMs: () => performance.now(), wallMs: Date.now }, metrics, lines, counts }
}

/** All bytes of a blob through a reader; undefined where it has none. */
export async function readAll(
  reader: BlobReader,
  digest: Digest,
  pieceSizeBytes = 65_536,
): Promise<Buffer | undefined> {
  const handle = await reader.open(digest)
  if (handle === undefined) return undefined
  const pieces: Buffer[] = []
  try {
    for (let offset = 0; ; ) {
      const piece = Buffer.alloc(pieceSizeBytes)
      const count = await handle.read(piece, offset)
      if (count === 0) return Buffer.concat(pieces)
      pieces.push(piece.subarray(0, count))
      offset += count
    }
  } finally {
    await handle.close()
  }
}

/** The bytes of a blob of a test image. */
export async function expectedBytes(image: TestImage, digest: Digest): Promise<Buffer> {
  const blob = image.blobs.get(digest)
  assert.ok(blob)
  const pieces: Uint8Array[] = []
  for await (const piece of blob.bytes()) pieces.push(piece)
  return Buffer.concat(pieces)
}
