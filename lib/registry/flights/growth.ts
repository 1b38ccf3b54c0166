import { setTimeout as delay } from 'node:timers/promises'
import type { GrowingBlob } from '../../core/content-store.ts'
import type { Digest } from '../../core/digest.ts'
import type { RegistryServices } from '../exchange.ts'
import type { PassingView } from './passing-bytes.ts'

type Look = Awaited<ReturnType<GrowingBlob['look']>>

/** Memory is looked at this often, so that what passes leaves in pieces worth sending; the file at growing intervals. */
const pollMs = 20
const firstFilePollMs = 10
const maxFilePollMs = 50
/** Where nothing passes for this long, another request of the client may fill the file. */
const passingMs = 1000
/** A download that is on its way according to the control plane, and not in the store yet, is waited for this long. */
const appearMs = 2000

const nothing: Look = { state: 'open', reachedBytes: 0, sizeBytes: undefined }

/**
 * A blob that this node is downloading, looked at again and again while somebody waits for more of it: in the file that its
 * containerd writes, and sooner in what passes through this node on its way there.
 */
export class Growth {
  readonly #services: Pick<RegistryServices, 'now' | 'limits' | 'store' | 'passing'>
  readonly #digest: Digest
  #blob: GrowingBlob | undefined
  #seen = nothing
  readonly #passing: () => PassingView | undefined
  /** Where what was read came from. */
  readonly readBytes = { memory: 0, file: 0 }
  #passed = 0
  #grewMs: number
  #absentSinceMs: number
  #filePollMs = firstFilePollMs
  #lookAtMs = Number.NEGATIVE_INFINITY

  constructor(digest: Digest, services: Pick<RegistryServices, 'now' | 'limits' | 'store' | 'passing'>) {
    this.#services = services
    this.#digest = digest
    this.#passing = services.passing.finder(digest)
    this.#absentSinceMs = this.#grewMs = services.now()
  }

  /** Undefined where it is not known yet. */
  get sizeBytes(): number | undefined {
    return this.#seen.sizeBytes ?? this.#passing()?.sizeBytes
  }

  /** The file is committed: its bytes are those of the digest. */
  get done(): boolean {
    return this.#seen.state === 'done'
  }

  /** The download was given up, and nothing of it passes. */
  get gone(): boolean {
    return this.#seen.state === 'gone' && this.#passing() === undefined
  }

  /** Offset behind the last byte that can be read from `offset` on; no more than `offset` where there is none. */
  reachedFrom(offset: number): number {
    const passing = this.#passing()
    const isKept = passing !== undefined && passing.floor <= offset && offset < passing.end
    return isKept ? passing.end : this.#seen.reachedBytes
  }

  /**
   * Waits until `isEnough`; `at` is the offset where the bytes that are waited for begin. False where it can't become so: the blob
   * is complete or given up, never begins, stands still for the ceiling, or nobody waits any more. @throws StarlingError STORE_UNAVAILABLE
   */
  async until(signal: AbortSignal, at: () => number, isEnough: () => boolean): Promise<boolean> {
    const { now, limits } = this.#services
    this.#filePollMs = firstFilePollMs
    this.#lookAtMs = now()
    while (!signal.aborted) {
      if (isEnough()) return true
      if (!this.#isPassing(at()) && now() >= this.#lookAtMs) {
        await this.#look()
        if (isEnough()) return true
        // It may have passed, and be whole here, while the file was looked at.
        if (this.#isOver() && !this.#isPassing(at())) return isEnough()
      }
      if (now() - this.#grewMs >= limits.flightCeilingMs) return false
      const untilLookMs = Math.max(1, this.#lookAtMs - now())
      await delay(this.#isPassing(at()) ? pollMs : Math.min(pollMs, untilLookMs))
    }
    return false
  }

  /** 0 where the bytes are not there any more. @throws StarlingError STORE_UNAVAILABLE: the target must not be used again then */
  async read(target: Uint8Array, offset: number): Promise<number> {
    const passed = this.#passing()?.read(target, offset) ?? 0
    this.readBytes.memory += passed
    if (passed > 0) return passed
    if (this.#blob === undefined) await this.#look()
    const count = (await this.#blob?.read(target, offset)) ?? 0
    this.readBytes.file += count
    return count
  }

  async close(): Promise<void> {
    await this.#blob?.close()
  }

  /** Is what comes at this offset about to pass through memory, so that the file can only be later? */
  #isPassing(offset: number): boolean {
    const passing = this.#passing()
    if (passing === undefined || !passing.open || offset < passing.floor) return false
    const nowMs = this.#services.now()
    if (passing.end > this.#passed) {
      this.#passed = passing.end
      this.#grewMs = nowMs
    }
    return nowMs - this.#grewMs < passingMs
  }

  #isOver(): boolean {
    if (this.#blob !== undefined) return this.#seen.state !== 'open'
    return this.#services.now() - this.#absentSinceMs >= appearMs
  }

  async #look(): Promise<void> {
    const { now, store } = this.#services
    this.#blob ??= await store.openGrowing(this.#digest).catch(() => undefined)
    const seen = (await this.#blob?.look()) ?? nothing
    if (this.#blob !== undefined) this.#absentSinceMs = Number.POSITIVE_INFINITY
    else if (this.#absentSinceMs === Number.POSITIVE_INFINITY) this.#absentSinceMs = now()
    if (seen.reachedBytes > this.#seen.reachedBytes || seen.state !== this.#seen.state) this.#grewMs = now()
    this.#seen = seen
    this.#lookAtMs = now() + this.#filePollMs
    this.#filePollMs = Math.min(this.#filePollMs * 2, maxFilePollMs)
  }
}
