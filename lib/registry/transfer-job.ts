import type { Digest } from '../core/digest.ts'
import type { Candidate, CandidatePeer, RegistryControl } from '../core/lookup.ts'
import type { Metrics } from '../core/ports.ts'
import type { FlowLimit } from '../selection/flow-limit.ts'
import type { HedgeBudget } from '../selection/hedge-budget.ts'
import type { StripeSettings } from '../selection/stripe-layout.ts'
import type { WantedBytes } from '../selection/wanted-bytes.ts'
import type { ChunkGarbage } from './chunk-garbage.ts'
import type { PeerClient } from './peer-client.ts'
import type { TransferAttempt } from './transfer-attempt.ts'
import type { TransferBudget } from './transfer-budget.ts'
import type { GivenPiece, StartCheck } from './transfer-check.ts'

/** Where the bytes go. `begin` comes once, when the first bytes are in hand, or never. */
export interface BodySink {
  begin(body: { readonly sizeBytes: number; readonly start: number; readonly end: number }): void
  /** False where no more should come until `drained` resolves. */
  write(chunk: Uint8Array): boolean
  drained(): Promise<void>
}

/** Peers one of which may have sent wrong bytes. */
export interface Suspicion {
  readonly digest: Digest
  /** Path and query of the blob. */
  readonly path: string
  readonly peers: readonly CandidatePeer[]
  /** What the peer gave, where it is one. */
  readonly piece?: GivenPiece | undefined
}

export interface TransferJob {
  readonly digest: Digest
  /** Path and query to ask a peer for. */
  readonly path: string
  readonly wanted: WantedBytes
  readonly candidates: readonly Candidate[]
  /** Larger bodies are refused. */
  readonly maxSizeBytes: number
  /** Where the client already has bytes before `wanted`: the size that the body must have; `begin` is not called. */
  readonly begunSizeBytes: number | undefined
  /** The whole is asked for at once: what is asked for knows no ranges. */
  readonly unranged?: boolean
  /** It is small, and nothing can go on without it: bounds of what comes from peers don't hold it up. */
  readonly urgent?: boolean
  /** A candidate that breaks off has given up: it is not asked once more, though there may be no other. */
  readonly askedOnce?: boolean
  readonly stripes?: StripeSettings
  /** The holders as they are now, asked for when all that were known are busy. */
  readonly lookAgain?: () => Promise<readonly Candidate[]>
  readonly signal: AbortSignal
}

export interface TransferDeps {
  readonly peers: Pick<PeerClient, 'open'> & Partial<Pick<PeerClient, 'spare'>>
  readonly control: RegistryControl
  readonly limits: { readonly stallTimeoutMs: number; readonly openBudgetMs: number }
  /** Memory for ranges ahead, shared by all transfers. */
  readonly budget?: TransferBudget
  /** Bounds of ranges that are asked for twice, shared by all transfers; absent: none. */
  readonly hedges?: HedgeBudget
  /** Bounds of what comes from peers; absent: none. */
  readonly downloads?: FlowLimit
  readonly metrics?: Metrics
  readonly garbage?: Pick<ChunkGarbage, 'received'>
  readonly startCheck?: StartCheck
  /** Hears of wrong bytes of which it is not proven who sent them. */
  readonly suspect?: (suspicion: Suspicion) => void
  /** Monotonic milliseconds. */
  readonly now: () => number
}

export interface TransferResult {
  /** `ended-early`: the client has a part, and nobody is left who could go on. */
  readonly outcome: 'finished' | 'ended-early' | 'not-found' | 'unsatisfiable' | 'cancelled'
  readonly sizeBytes: number | undefined
  /** The digest of the whole was checked. */
  readonly verified: boolean
  readonly attempts: readonly TransferAttempt[]
}
