import type { BlobSource } from '../../core/content-store.ts'
import type { Digest } from '../../core/digest.ts'

/** One blob to be hashed by the worker. */
export interface HashJob {
  readonly id: number
  readonly digest: Digest
  readonly source: BlobSource
  /** A map that fits the file is believed; else the file is read in any case. */
  readonly trustMap: boolean
  /** Bytes a second; infinite for as fast as it goes. */
  readonly rate: number
}

export type ToHasher = { readonly type: 'job'; readonly job: HashJob } | { readonly type: 'hurry' }

export interface HashResult {
  readonly id: number
  /** `known`: there is a map already. */
  readonly outcome: 'right' | 'known' | 'damaged' | 'gone' | 'unreadable'
  readonly bytes: number
  readonly problem: string | undefined
}
