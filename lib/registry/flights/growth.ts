import { setTimeout as delay } from 'node:timers/promises'
import type { GrowingBlob } from '../../core/content-store.ts'
import type { RegistryServices } from '../exchange.ts'

type Look = Awaited<ReturnType<GrowingBlob['look']>>

const firstPollMs = 10
const maxPollMs = 50

/** A growing blob, looked at again and again while somebody waits for more of it. */
export class Growth {
  readonly blob: GrowingBlob
  readonly #services: Pick<RegistryServices, 'now' | 'limits'>
  #seen: Look = { state: 'open', reachedBytes: 0, sizeBytes: undefined }
  #grewMs: number

  constructor(blob: GrowingBlob, services: Pick<RegistryServices, 'now' | 'limits'>) {
    this.blob = blob
    this.#services = services
    this.#grewMs = services.now()
  }

  /** What was seen last. */
  get seen(): Look {
    return this.#seen
  }

  /**
   * Waits until what is seen is enough. False where it can't become so: the blob is complete or given up, stands still for
   * the ceiling, or nobody waits any more. @throws StarlingError STORE_UNAVAILABLE
   */
  async until(signal: AbortSignal, isEnough: (seen: Look) => boolean): Promise<boolean> {
    const { now, limits } = this.#services
    for (let pollMs = firstPollMs; !signal.aborted; pollMs = Math.min(pollMs * 2, maxPollMs)) {
      if (isEnough(this.#seen)) return true
      const seen = await this.blob.look()
      if (seen.reachedBytes > this.#seen.reachedBytes || seen.state !== this.#seen.state) this.#grewMs = now()
      this.#seen = seen
      if (isEnough(seen)) return true
      if (seen.state !== 'open' || now() - this.#grewMs >= limits.flightCeilingMs) return false
      await delay(pollMs)
    }
    return false
  }
}
