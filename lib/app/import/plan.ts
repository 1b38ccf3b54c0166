import { isDigest } from '../../core/digest.ts'
import type { LabelledImage } from '../../core/image-writer.ts'
import type { FileRecord, FolderState } from './state-file.ts'

/** A file of the folder as it is now. */
export interface FolderFile {
  readonly name: string
  readonly sizeBytes: number
  readonly mtimeMs: number
}

export interface FolderPlan {
  /** New or changed, in order of name. */
  readonly due: readonly FolderFile[]
  /** Changed a moment ago: somebody may still be writing. */
  readonly unsettled: boolean
  /** Remembered and no longer there. */
  readonly gone: readonly string[]
}

const settleMs = 1000

/** What is to be done so that what is remembered agrees with what is there. */
export function planFolder(files: readonly FolderFile[], state: FolderState, nowMs: number): FolderPlan {
  const due: FolderFile[] = []
  let unsettled = false
  for (const file of files) {
    const known = state.get(file.name)
    if (known?.sizeBytes === file.sizeBytes && known.mtimeMs === file.mtimeMs) continue
    const ageMs = nowMs - file.mtimeMs
    // A time in the future says nothing.
    if (ageMs >= 0 && ageMs < settleMs) unsettled = true
    else due.push(file)
  }
  const names = new Set(files.map((file) => file.name))
  return {
    due: due.sort((a, b) => (a.name < b.name ? -1 : 1)),
    unsettled,
    gone: [...state.keys()].filter((name) => !names.has(name)),
  }
}

/** A list waits for images so long before it is tried again, where nothing tells that they have come. */
const patienceMs = 60_000
const offeredGapMs = 10_000

/** Lists some of whose references may be had now: one is offered, or it is time to look again. */
export function listsToRetry(
  state: FolderState,
  triedMs: ReadonlyMap<string, number>,
  offered: (reference: string) => boolean,
  nowMs: number,
): string[] {
  return [...state].flatMap(([name, { waiting = [] }]) => {
    if (waiting.length === 0) return []
    const sinceMs = nowMs - (triedMs.get(name) ?? Number.NEGATIVE_INFINITY)
    const due = sinceMs >= patienceMs || (sinceMs >= offeredGapMs && waiting.some((one) => offered(one.name)))
    return due ? [name] : []
  })
}

/**
 * What came before of files that may have the same bytes, under this name or another. A file that could not be used counts
 * under its own name only: its problem names it. A list that waits for something never counts.
 */
export function knownContents(
  file: FolderFile,
  state: FolderState,
): (FileRecord & { readonly sha256: string })[] {
  return [...state].flatMap(([name, record]) => {
    const { sha256, sizeBytes, problem, waiting = [] } = record
    const counts = waiting.length === 0 && (problem === undefined || name === file.name)
    return sha256 !== undefined && sizeBytes === file.sizeBytes && counts ? [{ ...record, sha256 }] : []
  })
}

/** Names and digests of images that no record but the given ones accounts for. */
export function unaccounted(records: readonly FileRecord[], state: FolderState): string[] {
  const kept = new Set([...state.values()].flatMap((record) => record.images.map(imageId)))
  const names = records.flatMap((record) => record.images.filter((image) => !kept.has(imageId(image))))
  return [...new Set(names.flatMap(namesOf))]
}

/**
 * What CRI calls images of these records that no other record accounts for: it names an image by the digest of its
 * configuration, too, and the kubelet goes by all names of an image.
 */
export function configNames(
  records: readonly FileRecord[],
  state: FolderState,
  stored: readonly Pick<LabelledImage, 'name' | 'target'>[],
): string[] {
  const digestsOf = (all: Iterable<FileRecord>) =>
    new Set([...all].flatMap(({ images }) => images.map(({ digest }) => digest)))
  const lost = digestsOf(records).difference(digestsOf(state.values()))
  return stored.flatMap(({ name, target }) => (isDigest(name) && lost.has(target) ? [name] : []))
}

function imageId(image: FileRecord['images'][number]): string {
  return `${image.name} ${image.digest}`
}

function namesOf({ name, digest }: FileRecord['images'][number]): string[] {
  const at = name.lastIndexOf('@')
  const path = at === -1 ? name : name.slice(0, at)
  const colon = path.lastIndexOf(':')
  const repository = colon > path.lastIndexOf('/') ? path.slice(0, colon) : path
  return [name, `${repository}@${digest}`]
}
