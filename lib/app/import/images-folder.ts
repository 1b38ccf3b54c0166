import { lstat, readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { compressionOfName } from '../../archive/compression.ts'
import type { ImportProgress } from '../../archive/import-archive.ts'
import type { MirrorAccess } from '../../config/registry-hosts.ts'
import type { NodeConfig } from '../../core/config.ts'
import { describeError, systemErrorCode } from '../../core/errors.ts'
import { unpinned } from '../../core/image-labels.ts'
import type { ImportView } from '../../core/ops-view.ts'
import type { Clock, Logger, Metrics, Service } from '../../core/ports.ts'
import { mirrorAccess } from '../config/configure.ts'
import type { FileOutcome } from './import-known.ts'
import { importDir, lockImports } from './lock.ts'
import { configNames, type FolderFile, knownContents, listsToRetry, planFolder, unaccounted } from './plan.ts'
import { parsePlatform } from './platform.ts'
import { isReferenceList } from './reference-list.ts'
import { runJob } from './run-job.ts'
import { type FileRecord, readState, writeState } from './state-file.ts'
import { openWriter } from './writer.ts'

export interface ImagesFolderOptions {
  /** As it is now: another folder, platform or store counts from the next look. */
  readonly config: () => NodeConfig
  readonly clock: Clock
  readonly log: Logger
  readonly metrics: Metrics
  /** Has a live node, or this one, what the reference names? Answers at once. */
  readonly offered: (reference: string) => boolean
}

export interface ImagesFolder extends Service {
  view(): ImportView
}

const pollIntervalMs = 1000
const retryMs = 10_000
const maxLoggedWaiting = 20

type Waiting = NonNullable<FileRecord['waiting']>

/**
 * Follows the images folder: what is put there is imported and pinned, what is taken away loses its pin, and what was
 * done is remembered over restarts.
 */
export function createImagesFolder(options: ImagesFolderOptions): ImagesFolder {
  const { clock, metrics } = options
  /** One look works with one configuration. */
  let config = options.config()
  const log = options.log.child({ part: 'import' })
  const stateFile = join(importDir(config.dataDir), 'state.json')
  const stopping = new AbortController()
  const state = new Map<string, FileRecord>()
  /** When a list that waits was tried last, in monotonic milliseconds. */
  const triedMs = new Map<string, number>()
  let isStoreNew = false
  let current: ImportView['current']
  let problem: string | undefined
  let timer: NodeJS.Timeout | undefined
  let running: Promise<void> = Promise.resolve()

  async function look(): Promise<void> {
    const next = options.config()
    // Another store may have nothing of what this one was given.
    if (!isDeepStrictEqual(next.store, config.store)) isStoreNew = true
    config = next
    const files = await listFolder(config.images.dir)
    const plan = planFolder(files, state, clock.wallMs())
    const again = new Set(
      isStoreNew ? state.keys() : listsToRetry(state, triedMs, options.offered, clock.monotonicMs()),
    )
    const due = [...new Set([...plan.due, ...files.filter(({ name }) => again.has(name))])]
    if (due.length === 0 && plan.gone.length === 0) {
      isStoreNew = false
      return
    }
    const lock = await lockImports(config.dataDir, {
      signal: stopping.signal,
      onWait: () => log.info({}, 'another process imports; waiting for it'),
    })
    try {
      for (const [index, file] of due.entries()) await importOne(file, due.length - index - 1)
      if (plan.gone.length > 0) await letGo(plan.gone)
      isStoreNew = false
    } finally {
      await lock.release()
    }
  }

  async function importOne(file: FolderFile, filesLeft: number): Promise<void> {
    const startedMs = clock.monotonicMs()
    const show = ({ readBytes, totalBytes, images }: ImportProgress): void => {
      const seconds = Math.max(0.001, (clock.monotonicMs() - startedMs) / 1000)
      const bytesPerSecond = Math.round(readBytes / seconds)
      current = { file: file.name, readBytes, totalBytes, bytesPerSecond, images, filesLeft }
    }
    show({ readBytes: 0, totalBytes: file.sizeBytes, images: undefined })
    const before = state.get(file.name)
    try {
      const record = await recordOf(file, show)
      await remember(file.name, record.next)
      metrics.count('starling_imports_total', { outcome: record.outcome })
      const durationMs = Math.round(clock.monotonicMs() - startedMs)
      const { problem, waiting = [] } = record.next
      const fields = {
        file: join(config.images.dir, file.name),
        images: record.next.images.map(({ name }) => name),
      }
      if (record.outcome === 'unchanged')
        log.info(fields, 'a file has the bytes that it had; nothing was imported')
      else if (waiting.length > 0) logWaiting(fields, before, waiting)
      else if (problem === undefined) log.info({ ...fields, durationMs }, 'images were imported')
      else log.error({ ...fields, problem }, 'a file cannot be used; it is tried again when it changes')
    } finally {
      current = undefined
    }
    if (before !== undefined) await unpin([before])
  }

  /** Does what is to be done for a file; what is to be remembered of it comes out. */
  async function recordOf(
    file: FolderFile,
    show: (progress: ImportProgress) => void,
  ): Promise<{ next: FileRecord; outcome: FileOutcome['type'] }> {
    const { store, images } = config
    const { sizeBytes, mtimeMs } = file
    const platform = parsePlatform(images.platform) ?? 'all'
    const before = state.get(file.name)
    const again =
      before?.sizeBytes === sizeBytes && before.mtimeMs === mtimeMs && before.waiting !== undefined
    const alike = again ? [] : knownContents(file, state)
    triedMs.set(file.name, clock.monotonicMs())
    const job = {
      path: join(config.images.dir, file.name),
      store,
      platform,
      known: alike,
      done: again ? before.images : [],
      mirror: mirrorOf(config),
    }
    const outcome = await runJob(job, show, stopping.signal)
    const next = { sizeBytes, mtimeMs }
    switch (outcome.type) {
      case 'unchanged': {
        const same = alike.find(({ sha256 }) => sha256 === outcome.sha256)
        const { sha256, problem, images: found = [] } = same ?? {}
        return { next: { ...next, sha256, images: found, problem }, outcome: 'unchanged' }
      }
      case 'imported': {
        const { sha256, images: found, waiting } = outcome
        return { next: { ...next, sha256, images: found, waiting, problem: undefined }, outcome: 'imported' }
      }
      case 'refused': {
        const { sha256, problem } = outcome
        return { next: { ...next, sha256, images: [], problem }, outcome: 'refused' }
      }
    }
  }

  /** A list that waits is tried again and again; only news are worth a line. */
  function logWaiting(fields: object, before: FileRecord | undefined, waiting: Waiting): void {
    const told = JSON.stringify(before?.waiting?.map(({ name }) => name))
    if (told === JSON.stringify(waiting.map(({ name }) => name))) return
    log.warn(
      { ...fields, waiting: waiting.slice(0, maxLoggedWaiting) },
      'images of a list are on no node yet; it waits',
    )
  }

  async function letGo(names: readonly string[]): Promise<void> {
    const records = names.flatMap((name) => state.get(name) ?? [])
    const before = new Map(state)
    for (const name of names) state.delete(name)
    try {
      await unpin(records)
      await writeState(stateFile, state)
    } catch (error) {
      for (const [name, record] of before) state.set(name, record)
      throw error
    }
    log.info({ files: names }, 'files were taken away; their images stay and are no longer pinned')
  }

  async function unpin(records: readonly FileRecord[]): Promise<void> {
    const names = unaccounted(records, state)
    if (names.length === 0) return
    const writer = await openWriter(config.store)
    try {
      const all = [...names, ...configNames(records, state, await writer.images())]
      for (const name of all) await writer.labelImage(name, unpinned)
    } finally {
      await writer.close()
    }
  }

  async function remember(name: string, record: FileRecord): Promise<void> {
    state.set(name, record)
    await writeState(stateFile, state)
  }

  /** One look after the other; what fails for the store's sake is tried again. */
  function schedule(delayMs: number): void {
    if (stopping.signal.aborted) return
    timer = setTimeout(() => {
      running = look().then(
        () => {
          problem = undefined
          schedule(pollIntervalMs)
        },
        (error: unknown) => {
          if (stopping.signal.aborted) return
          const why = describeError(error)
          if (why !== problem)
            log.warn({ problem: why }, 'the images folder cannot be worked on; trying again')
          problem = why
          schedule(retryMs)
        },
      )
    }, delayMs)
  }

  return {
    async start() {
      const { state: remembered, damaged } = await readState(stateFile)
      for (const [name, record] of remembered) state.set(name, record)
      if (damaged) log.warn({ file: stateFile }, 'what was imported is not known any more; it is done again')
      schedule(0)
    },
    async stop() {
      stopping.abort()
      clearTimeout(timer)
      await running
    },
    view: () => ({
      folder: options.config().images.dir,
      problem,
      current,
      files: [...state].map(([file, record]) => ({
        file,
        images: record.images.map((image) => image.name),
        problem: record.problem,
        waiting: record.waiting ?? [],
      })),
    }),
  }
}

/** Undefined where containerd can't be told of a mirror either. */
function mirrorOf(config: NodeConfig): MirrorAccess | undefined {
  try {
    return mirrorAccess(config)
  } catch {
    return undefined
  }
}

/**
 * The archives and lists of the folder; a folder that is not there holds none. A link to nothing, a pipe or a device counts:
 * it is refused by name.
 */
async function listFolder(dir: string): Promise<FolderFile[]> {
  const names = await readdir(dir).catch((error: unknown) => {
    if (systemErrorCode(error) === 'ENOENT') return []
    throw error
  })
  const files: FolderFile[] = []
  for (const name of names) {
    if (name.startsWith('.') || !(isReferenceList(name) || compressionOfName(name) !== undefined)) continue
    const path = join(dir, name)
    const stats = await stat(path).catch(() => lstat(path).catch(() => undefined))
    if (stats === undefined || stats.isDirectory()) continue
    files.push({ name, sizeBytes: stats.size, mtimeMs: stats.mtimeMs })
  }
  return files
}
