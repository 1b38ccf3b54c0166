import { randomBytes } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import type { Platform } from '../../archive/documents.ts'
import { StarlingError } from '../../core/errors.ts'
import type { RequestSource } from '../../core/lookup.ts'
import type { RequestView } from '../../core/ops-view.ts'
import { formatReference, type Reference } from '../../core/reference.ts'
import { hostsOrder } from './hosts-order.ts'
import { type MirrorAddress, MirrorClient } from './mirror-client.ts'
import { type Piece, type PieceKind, pullImage } from './pull-image.ts'

/** One manifest or blob of a pull. */
export interface PulledPiece {
  readonly kind: PieceKind
  readonly digest: string
  readonly sizeBytes: number
  readonly durationMs: number
  readonly bytesPerSecond: number
  /** `unknown` where the ops API could not be asked. */
  readonly source: RequestSource | 'unknown'
  readonly peers: readonly { readonly name: string; readonly bytes: number }[]
  readonly reason: string
}

/** What `starling pull` found. */
export interface PullReport {
  readonly reference: string
  readonly platform: string
  readonly mirror: string
  /** Does containerd ask the mirror for this registry? */
  readonly asksMirror: boolean
  readonly digest: string | null
  readonly pieces: readonly PulledPiece[]
  readonly sizeBytes: number
  readonly durationMs: number
  /** Why it could not be pulled from here, and what containerd would do then. */
  readonly failure: string | null
}

export interface DiagnoseOptions {
  readonly mirror: MirrorAddress
  readonly certsDir: string
  readonly reference: Reference
  readonly platform: Platform
  /** What became of a request; undefined where nobody can say. */
  readonly requestView: (id: string) => Promise<RequestView | undefined>
  readonly onPiece?: (piece: Piece) => void
}

const viewTries = 20
const viewGapMs = 50

/**
 * Pulls an image through the mirror of this machine as its containerd would, keeps nothing, and tells who served what.
 * @throws StarlingError PEER_UNREACHABLE, TRUST_FILE_INVALID, TRUST_FILE_UNSAFE
 */
export async function diagnosePull(options: DiagnoseOptions): Promise<PullReport> {
  const { reference, platform, certsDir, onPiece } = options
  const order = await hostsOrder(certsDir, reference.registry, options.mirror.url)
  const mirror = await MirrorClient.open(options.mirror)
  const name = `pull-${randomBytes(9).toString('hex')}`
  const pieces: PulledPiece[] = []
  const startedMs = performance.now()
  let count = 0
  let ids: string[] = []
  const nextId = (): string => {
    count += 1
    ids.push(`${name}-${count}`)
    return `${name}-${count}`
  }
  let digest: string | null = null
  let failure: string | null = null
  try {
    await pullImage({
      mirror,
      reference,
      platform,
      nextId,
      async take(piece, bytes) {
        onPiece?.(piece)
        digest ??= piece.target.digest
        ids = []
        const beganMs = performance.now()
        let sizeBytes = 0
        for await (const chunk of bytes) sizeBytes += chunk.length
        const durationMs = performance.now() - beganMs
        pieces.push({
          kind: piece.kind,
          digest: piece.target.digest,
          sizeBytes,
          durationMs: rounded(durationMs),
          bytesPerSecond: Math.round(sizeBytes / Math.max(0.0001, durationMs / 1000)),
          ...sourceOf(await viewsOf(ids, options.requestView)),
        })
      },
    })
  } catch (error) {
    if (!(error instanceof StarlingError) || error.code !== 'NOT_FOUND') throw error
    failure = `${error.message}; ${whatThen(order.next)}`
  } finally {
    mirror.close()
  }
  return {
    reference: formatReference(reference),
    platform: [platform.os, platform.architecture, platform.variant].filter(Boolean).join('/'),
    mirror: mirror.url,
    asksMirror: order.asksMirror,
    digest,
    pieces,
    sizeBytes: pieces.reduce((sum, piece) => sum + piece.sizeBytes, 0),
    durationMs: rounded(performance.now() - startedMs),
    failure,
  }
}

function whatThen(next: readonly string[]): string {
  return next.length === 0
    ? 'containerd has nowhere else to ask, and a pull fails'
    : `a pull goes on at ${next.join(', then ')}`
}

/** A report comes a moment after the body. */
async function viewsOf(
  ids: readonly string[],
  requestView: DiagnoseOptions['requestView'],
): Promise<RequestView[]> {
  const views: RequestView[] = []
  for (const id of ids) {
    for (let tries = 0; tries < viewTries; tries += 1) {
      try {
        const view = await requestView(id)
        if (view === undefined) return []
        views.push(view)
        break
      } catch (error) {
        if (!(error instanceof StarlingError) || error.code !== 'NOT_FOUND') throw error
      }
      await delay(viewGapMs)
    }
  }
  return views
}

/** Joins what became of the requests of one piece. */
export function sourceOf(views: readonly RequestView[]): Pick<PulledPiece, 'source' | 'peers' | 'reason'> {
  const peers = new Map<string, number>()
  for (const { shares } of views) {
    for (const { peer, bytes } of shares) peers.set(peer, (peers.get(peer) ?? 0) + bytes)
  }
  const first = views.find(({ source }) => source === 'peer') ?? views[0]
  return {
    source: first?.source ?? 'unknown',
    peers: [...peers].map(([name, bytes]) => ({ name, bytes })),
    reason: views.map(({ reason }) => reason).join('; '),
  }
}

function rounded(durationMs: number): number {
  return Math.round(durationMs * 10) / 10
}
