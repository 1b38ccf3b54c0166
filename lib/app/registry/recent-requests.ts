import { StarlingError } from '../../core/errors.ts'
import type { RequestReport } from '../../core/lookup.ts'
import type { RequestView } from '../../core/ops-view.ts'

const maxRequests = 512

/** The last requests that their clients gave a name: who asks for `starling pull` learns who served it. */
export class RecentRequests {
  readonly #views = new Map<string, RequestView>()

  add(report: RequestReport): void {
    const { id, status, source, reason, shares = [], bytes, durationMs, fromPeer } = report
    if (id === undefined || fromPeer) return
    this.#views.delete(id)
    this.#views.set(id, { id, status, source, reason, shares, bytes, durationMs })
    for (const oldest of this.#views.keys()) {
      if (this.#views.size <= maxRequests) break
      this.#views.delete(oldest)
    }
  }

  /** @throws StarlingError NOT_FOUND */
  get(id: string): RequestView {
    const view = this.#views.get(id)
    if (view === undefined)
      throw new StarlingError('NOT_FOUND', 'no finished request of that name is remembered')
    return view
  }
}
