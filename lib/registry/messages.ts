import type { MessagePort } from 'node:worker_threads'
import { normaliseTransfer } from '../config/transfer-section.ts'
import type { TransferConfig } from '../core/config.ts'
import type { BlobSource } from '../core/content-store.ts'
import type { KeyPair, Revocation } from '../core/credentials.ts'
import type { HostRateLimits } from '../core/host-rates.ts'
import type { Endpoint } from '../core/peer.ts'
import type { PassingMemory } from './flights/passing-bytes.ts'
import type { SharedFlowMemory } from './shared-flow.ts'

/** What the registry needs of a node's credentials: nothing that speaks for the node on port 5001. */
export interface RegistryCredentials {
  readonly nodeName: string
  readonly serverCaPem: string
  readonly clientCaPem: string
  readonly revocations: readonly Revocation[]
  readonly serving: KeyPair
  readonly client: KeyPair
  /** 48 bytes, the same in all workers, new with each change of credentials: a session ticket opens at any of them. */
  readonly ticketKeys: Uint8Array
}

/** What can be changed while transfers run. */
export interface RegistryTuning {
  /** A body from a peer that brings no byte for this long goes on at the next holder. */
  readonly stallTimeoutMs: number
  /** Of the whole node, whatever the number of workers. */
  readonly transfer: TransferConfig
}

/** Bounds of one worker. Times in milliseconds. */
export interface RegistryLimits extends HostRateLimits, RegistryTuning {
  readonly maxConnections: number
  /** TCP and TLS to one address of a peer. */
  readonly connectTimeoutMs: number
  /** From the request to the head of a peer's answer. */
  readonly firstByteTimeoutMs: number
  /** The client has waited this long for a first byte: 404, so that it goes on elsewhere. */
  readonly openBudgetMs: number
  /**
   * An answer of the control plane. It answers from memory, so that only a machine whose processors are all taken, by threads
   * that start for instance, makes it late: a client without any other place to ask should get through that.
   */
  readonly lookupTimeoutMs: number
  /** A blob in flight that grows no more for this long ends where it is; its first byte may take as long. */
  readonly flightCeilingMs: number
  /** One read or open of the local store. */
  readonly storeTimeoutMs: number
  /** A client that takes no byte for this long is cut off. */
  readonly clientTimeoutMs: number
  /** Reads of the local store at once: libuv's thread pool is one for the process (DESIGN §1). */
  readonly maxReads: number
  /** Memory for ranges of bodies whose turn has not come. */
  readonly transferMemoryBytes: number
  /** Connections to all peers. */
  readonly maxPeerConnections: number
  /** Requests that one connection may have waiting. */
  readonly maxPipelined: number
}

export const defaultRegistryLimits: RegistryLimits = {
  maxConnections: 1024,
  maxPerHostPerSecond: 128,
  maxStrangersPerSecond: 64,
  stallTimeoutMs: 2000,
  connectTimeoutMs: 1000,
  firstByteTimeoutMs: 2000,
  openBudgetMs: 10_000,
  lookupTimeoutMs: 5000,
  flightCeilingMs: 20_000,
  storeTimeoutMs: 10_000,
  clientTimeoutMs: 300_000,
  maxReads: 3,
  maxPeerConnections: 256,
  transferMemoryBytes: 48 * 2 ** 20,
  transfer: normaliseTransfer(),
  maxPipelined: 16,
}

/** What a worker thread is started with. */
export interface RegistryWorkerData {
  readonly listen: readonly Endpoint[]
  readonly credentials: RegistryCredentials
  readonly source: BlobSource
  readonly limits: RegistryLimits
  /** Folder of the chunk maps; undefined where nothing is checked on its way. */
  readonly mapsPath: string | undefined
  /** Tells the threads apart in metrics and in what they count together. */
  readonly index: number
  readonly uploads: SharedFlowMemory
  readonly downloads: SharedFlowMemory
  readonly passing: PassingMemory
  readonly controlPort: MessagePort
}

/** Main thread → worker. */
export type ToWorker =
  | { readonly type: 'credentials'; readonly credentials: RegistryCredentials }
  | { readonly type: 'source'; readonly source: BlobSource }
  /** Other bounds for what begins from now on. */
  | { readonly type: 'tune'; readonly tuning: RegistryTuning }
  /** Members, the catalog or what is mirrored have changed: kept answers to lookups are forgotten. */
  | { readonly type: 'lookups-changed' }
  /** Others answer as well, and this one ends soon. */
  | { readonly type: 'retire' }
  | { readonly type: 'stop'; readonly graceMs: number }

/** Worker → main thread. */
export type FromWorker =
  | { readonly type: 'listening'; readonly addresses: readonly Endpoint[] }
  | {
      readonly type: 'failed'
      readonly code: string | undefined
      readonly message: string
      readonly hint: string | undefined
    }
  | {
      readonly type: 'log'
      readonly level: 'debug' | 'info' | 'warn' | 'error'
      readonly fields: object
      readonly message: string
    }
  | { readonly type: 'metrics'; readonly changes: readonly MetricChange[] }

export interface MetricChange {
  readonly kind: 'count' | 'observe' | 'set'
  readonly name: `starling_${string}`
  readonly value: number
  readonly labels: Readonly<Record<string, string>>
}
