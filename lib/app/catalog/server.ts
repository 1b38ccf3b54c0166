import { comparisonFrames, hashOrigins } from '../../catalog/comparison.ts'
import { serveFetch } from '../../catalog/serve-fetch.ts'
import { differingBuckets } from '../../catalog/set-hash.ts'
import { encodeAnswer } from '../../catalog/sync-answer.ts'
import { decodeRequest, type SyncRequest } from '../../catalog/sync-request.ts'
import type { PeerId } from '../../core/peer-id.ts'
import type { CatalogContext, MirroredRegistry } from './context.ts'

/** What a neighbour's question tells this node. */
export interface ServerEvents {
  readonly neighbourDiffers: (mirrored: MirroredRegistry, peer: PeerId) => void
  readonly registriesLearned: (registries: readonly string[], from: PeerId) => void
}

/**
 * Answers the requests of neighbours, frame by frame. A request that does not decode throws, which resets its stream.
 */
export function* answerRequest(
  context: CatalogContext,
  events: ServerEvents,
  from: PeerId,
  frame: Uint8Array,
): Generator<Uint8Array> {
  const request = decodeRequest(frame)
  if (request === undefined || context.stopped) return
  context.options.metrics.count('starling_catalog_requests_total', { kind: request.kind })
  if (request.kind === 'registries') {
    events.registriesLearned(request.registries, from)
    yield encodeAnswer({ kind: 'registries', registries: [...context.registries.keys()] })
    return
  }
  const mirrored = context.registries.get(request.registry)
  if (mirrored === undefined) {
    yield encodeAnswer({ kind: 'comparison', mirrored: false, origins: [] })
  } else if (request.kind === 'fetch') {
    for (const answer of serveFetch(mirrored.state, request.wants)) {
      if (context.isOver(mirrored)) return
      yield answer
    }
  } else {
    yield* answerComparison(events, mirrored, from, request)
  }
}

function* answerComparison(
  events: ServerEvents,
  mirrored: MirroredRegistry,
  from: PeerId,
  request: Extract<SyncRequest, { kind: 'compare' }>,
): Generator<Uint8Array> {
  const differs = differingBuckets(hashOrigins(mirrored.state), request.origins).length > 0
  if (differs && !request.answering) events.neighbourDiffers(mirrored, from)
  yield* comparisonFrames(mirrored.state, request.origins)
}
