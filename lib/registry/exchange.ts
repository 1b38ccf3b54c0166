import type { IncomingHttpHeaders, OutgoingHttpHeaders } from 'node:http'
import type { Digest } from '../core/digest.ts'
import type { LookupAnswer, LookupTarget, PeerShare, RegistryControl, RequestSource } from '../core/lookup.ts'
import type { Metrics } from '../core/ports.ts'
import type { FlowLimit } from '../selection/flow-limit.ts'
import type { HedgeBudget } from '../selection/hedge-budget.ts'
import type { BufferPool } from './buffer-pool.ts'
import type { ChunkGarbage } from './chunk-garbage.ts'
import type { LocalIntegrity } from './chunk-maps/local-integrity.ts'
import type { ClientResponse } from './client-response.ts'
import { etagOf } from './conditional.ts'
import type { PassingBytes } from './flights/passing-bytes.ts'
import type { HotBlobs } from './hot-blobs.ts'
import type { LocalStore } from './local-store.ts'
import type { RegistryLimits } from './messages.ts'
import { errorBody, type MissSubject, missFailure, type OciFailure, reasonHeader } from './oci-error.ts'
import type { PeerClient } from './peer-client.ts'
import type { RecentSizes } from './recent-sizes.ts'
import type { RegistryRequest } from './request.ts'
import type { TransferBudget } from './transfer-budget.ts'
import type { StartCheck } from './transfer-check.ts'
import type { Suspicion } from './transfer-job.ts'
import type { VerifiedCache } from './verified-cache.ts'

/** What all requests of a worker share. */
export interface RegistryServices {
  readonly control: RegistryControl
  readonly store: LocalStore
  /** Undefined where local content is not checked as it leaves. */
  readonly integrity: LocalIntegrity | undefined
  /** Undefined where the digest of the whole must do. */
  readonly startCheck?: StartCheck
  readonly suspect?: (suspicion: Suspicion) => void
  readonly peers: Pick<PeerClient, 'open' | 'namedAddress' | 'spare'>
  readonly cache: VerifiedCache
  /** For blocks of local content. */
  readonly pool: BufferPool
  /** For what is gathered on its way to clients. */
  readonly writes: BufferPool
  readonly garbage: ChunkGarbage
  /** What comes from parents in flight, for the children of this node. */
  readonly passing: PassingBytes
  readonly recentSizes: RecentSizes
  readonly hot: HotBlobs
  readonly metrics: Metrics
  /** Memory for ranges whose turn has not come. */
  readonly budget: TransferBudget
  readonly hedges: HedgeBudget
  /** What peers get from this node. */
  readonly uploads: FlowLimit
  /** What this node gets from peers. */
  readonly downloads: FlowLimit
  readonly limits: RegistryLimits
  /** Monotonic milliseconds. */
  readonly now: () => number
}

export type Found = Extract<LookupAnswer, { found: true }>

const commonHeaders = { 'docker-distribution-api-version': 'registry/2.0' } as const

/** One request and its answer, and what will be told of it in the log. */
export class Exchange {
  readonly request: RegistryRequest
  readonly headers: IncomingHttpHeaders
  readonly out: ClientResponse
  source: RequestSource = 'none'
  reason = ''
  registry: string | undefined
  peers: readonly string[] = []
  shares: readonly PeerShare[] = []

  constructor(request: RegistryRequest, headers: IncomingHttpHeaders, out: ClientResponse) {
    this.request = request
    this.headers = headers
    this.out = out
    this.registry = request.registry
  }

  /** What is asked for; undefined where there is none, and the client was told why. */
  async lookup(
    services: RegistryServices,
    target: LookupTarget,
    subject: MissSubject,
  ): Promise<Found | undefined> {
    const { registry, fromPeer, head } = this.request
    // Who is sent to a holder must find it: what was heard of it a moment ago is asked for anew.
    const fresh = !fromPeer && services.limits.transfer.mode !== 'proxy'
    const wanted = !head && !fromPeer && target.kind === 'digest'
    const answer = await services.control.lookup({
      registry,
      target,
      fromPeer,
      ...(fresh ? { fresh } : {}),
      ...(wanted ? { claim: { lost: [] } } : {}),
    })
    this.registry = answer.registry
    if (answer.found) return answer
    this.fail(missFailure(answer.miss, answer.detail, subject, answer.registry))
    return undefined
  }

  /** Where the work was broken off the failure has that for its reason. */
  fail(failure: OciFailure): void {
    const { signal } = this.out
    const answer: OciFailure = signal.aborted
      ? { status: 503, code: 'UNAVAILABLE', message: brokenOff(signal) }
      : failure
    this.reason = answer.message
    sendFailure(this.out, answer, this.request.head)
  }

  /** The head of an answer that has content, or a part of it. */
  contentHead(digest: Digest, mediaType: string, length: number, more: OutgoingHttpHeaders = {}): void {
    this.out.head(
      more['content-range'] === undefined ? 200 : 206,
      { ...contentHeaders(digest), 'content-type': mediaType, 'content-length': length, ...more },
      this.request.head ? 0 : length,
    )
  }

  /** Sends the client to where the content is (RFC 9110 §15.4.8). */
  redirect(digest: Digest, location: string): void {
    this.source = 'redirect'
    this.out.head(307, { ...contentHeaders(digest), location, 'content-length': 0 }, 0)
    this.out.finish()
  }

  notModified(digest: Digest): void {
    this.reason = 'the client has it already'
    this.source = 'memory'
    this.out.head(304, contentHeaders(digest), 0)
    this.out.finish()
  }

  json(value: unknown, more: OutgoingHttpHeaders = {}): void {
    const body = Buffer.from(JSON.stringify(value))
    this.out.head(
      200,
      { ...commonHeaders, 'content-type': 'application/json', 'content-length': body.length, ...more },
      this.request.head ? 0 : body.length,
    )
    if (!this.request.head) this.out.write(body)
    this.out.finish()
  }
}

/** Why a request was broken off. */
export function brokenOff(signal: AbortSignal): string {
  if (signal.reason === 'shutdown') return 'this node is shutting down'
  return signal.reason === 'no-room'
    ? 'the client took nothing for a while, and its room was given to others'
    : 'the client went away'
}

function contentHeaders(digest: Digest): OutgoingHttpHeaders {
  return { ...commonHeaders, 'docker-content-digest': digest, etag: etagOf(digest) }
}

/** An error answer. To HEAD the message goes as a header, because there is no body. */
export function sendFailure(out: ClientResponse, failure: OciFailure, headOnly: boolean): void {
  const body = Buffer.from(errorBody(failure))
  const headers = {
    ...commonHeaders,
    ...failure.headers,
    'content-type': 'application/json',
    'content-length': body.length,
    'starling-reason': reasonHeader(failure.message),
  }
  out.head(failure.status, headers, headOnly ? 0 : body.length)
  if (!headOnly) out.write(body)
  out.finish()
}
