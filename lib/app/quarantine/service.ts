import type { PeerConnector } from '../../core/cluster.ts'
import { describeError, StarlingError } from '../../core/errors.ts'
import type { WrongBytes } from '../../core/lookup.ts'
import { type PeerRpc, rpcProtocols } from '../../core/messaging.ts'
import type { PeerId } from '../../core/peer-id.ts'
import type { Service } from '../../core/ports.ts'
import { type Accusation, Accusations, type AccusationsOptions } from './accusations.ts'
import { describeEvidence } from './evidence.ts'
import { QuarantineFile } from './file.ts'
import { QuarantineList, type QuarantineRecord } from './list.ts'
import { decodeNotice, encodeNotice, type QuarantineNotice } from './notice.ts'

export interface QuarantineOptions extends AccusationsOptions {
  readonly dataDir: string
  /** How long a first quarantine is. */
  readonly lengthMs: () => number
  readonly rpc: PeerRpc
  readonly connector: Pick<PeerConnector, 'onConnection'>
  /** A peer is no candidate any more, or is one again. */
  readonly changed: (peerId: PeerId, state: 'in' | 'out') => void
}

/**
 * Peers that are shown to have sent wrong bytes: by what this node has seen itself, never by the word of another one. They are no
 * candidates until the time is over or an operator releases them, also after a restart.
 */
export interface QuarantineService extends Service {
  has(peerId: PeerId): boolean
  /** How many are in. */
  size(): number
  condemn(peerId: PeerId, wrong: WrongBytes): void
  /** `who`: a name or a PeerId. @throws StarlingError NOT_FOUND, USAGE where several have the name */
  release(who: string): QuarantineRecord
  current(): readonly QuarantineRecord[]
  /** Who says that it has put this node into quarantine. */
  accusations(): readonly Accusation[]
}

const noticeTimeoutMs = 5000
/** How soon a peer that could not be told is told again. */
const retryMs = 30_000
const maxTimerMs = 3_600_000
const maxNoticeSizeBytes = 1024

export function createQuarantine(options: QuarantineOptions): QuarantineService {
  const { clock, log, metrics, rpc, nameOf } = options
  const list = new QuarantineList()
  const file = new QuarantineFile(options.dataDir, log)
  const accusations = new Accusations(options)
  /** Who does not know how it stands, and who is being told. */
  const untold = new Set<PeerId>()
  const telling = new Set<PeerId>()
  const ends: (() => void)[] = []
  /** Names of those that are in, as the metrics know it. */
  let inside = new Map<PeerId, string>()
  let stopped = false
  let expiry: NodeJS.Timeout | undefined
  let retry: NodeJS.Timeout | undefined

  const now = (): number => clock.wallMs()
  const save = (): void => void file.save(list.records())

  function noticeFor(peerId: PeerId): QuarantineNotice {
    const record = list.current(now()).find((one) => one.peerId === peerId)
    if (record === undefined) return { kind: 'released' }
    const { digest, evidence, untilMs } = record
    return { kind: 'quarantined', digest, evidence, lengthMs: untilMs - now() }
  }

  /** Tells a peer how it stands now; one notice after the other, so that the last one it gets is the last one that holds. */
  async function tell(peerId: PeerId): Promise<void> {
    untold.add(peerId)
    if (telling.has(peerId)) return
    telling.add(peerId)
    const answer = { timeoutMs: noticeTimeoutMs, maxAnswerSizeBytes: maxNoticeSizeBytes }
    try {
      // Whoever asks for it meanwhile knows of something new: another state, or a connection.
      while (untold.delete(peerId)) {
        try {
          await rpc.request(peerId, rpcProtocols.quarantine, encodeNotice(noticeFor(peerId)), answer)
        } catch (error) {
          if (untold.has(peerId)) continue
          untold.add(peerId)
          const fields = { peer: nameOf(peerId), peerId, error: describeError(error) }
          log.debug(fields, 'a peer could not be told that it is in quarantine, or out of it')
          break
        }
      }
    } finally {
      telling.delete(peerId)
    }
  }

  /** Follows the list: gauges, the next end, and who is out because its time is over. */
  function follow(): void {
    const current = list.current(now())
    const next = new Map(current.map(({ peerId, name }) => [peerId, name]))
    for (const [peerId, peer] of inside) {
      if (next.has(peerId)) continue
      untold.delete(peerId)
      metrics.set('starling_quarantined_peer', 0, { peer })
      options.changed(peerId, 'out')
    }
    for (const peer of next.values()) metrics.set('starling_quarantined_peer', 1, { peer })
    inside = next
    metrics.set('starling_quarantined_peers', current.length)
    metrics.set('starling_quarantined_by_peers', accusations.current().length)
    clearTimeout(expiry)
    const leftMs = Math.min(...current.map(({ untilMs }) => untilMs - now()))
    const waitMs = Math.max(100, Math.min(leftMs, maxTimerMs))
    expiry = current.length === 0 ? undefined : setTimeout(expire, waitMs).unref()
  }

  function expire(): void {
    const at = now()
    for (const { peerId, name, untilMs } of list.records()) {
      if (!inside.has(peerId) || at < untilMs) continue
      metrics.count('starling_quarantine_releases_total', { by: 'time' })
      log.warn({ peer: name, peerId }, 'the quarantine of a peer is over: it is a candidate again')
    }
    follow()
  }

  function find(who: string): QuarantineRecord {
    const found = list.current(now()).filter(({ peerId, name }) => peerId === who || name === who)
    const [first, second] = found
    if (first === undefined) throw new StarlingError('NOT_FOUND', `${who} is not in quarantine on this node`)
    if (second === undefined) return first
    throw new StarlingError('USAGE', `${found.length} peers in quarantine are called ${who}`, {
      hint: `name one by its PeerId: ${found.map(({ peerId }) => peerId).join(', ')}`,
    })
  }

  return {
    has: (peerId) => list.has(peerId, now()),
    size: () => inside.size,
    condemn(peerId, wrong) {
      const record = list.add({ peerId, name: nameOf(peerId) }, wrong, now(), options.lengthMs())
      // A part that has ended may answer until the next one does; the file is not its own any more.
      if (record === undefined || stopped) return
      const { name, untilMs, times } = record
      const until = new Date(untilMs).toISOString()
      const reason = describeEvidence(wrong.evidence)
      log.error(
        { peer: name, peerId, digest: wrong.digest, reason, until, times },
        'a peer sent wrong bytes and is in quarantine: nothing is taken from it',
      )
      metrics.count('starling_quarantines_total', { evidence: wrong.evidence })
      options.changed(peerId, 'in')
      follow()
      save()
      void tell(peerId)
    },
    release(who) {
      const { peerId } = find(who)
      const record = list.release(peerId, now()) as QuarantineRecord
      metrics.count('starling_quarantine_releases_total', { by: 'operator' })
      log.warn({ peer: record.name, peerId }, 'an operator has released a peer: it is a candidate again')
      follow()
      save()
      void tell(peerId)
      return record
    },
    current: () => list.current(now()),
    accusations: () => accusations.current(),
    async start() {
      list.restore(await file.load(), now())
      follow()
      for (const { peerId } of list.current(now())) untold.add(peerId)
      rpc.handle(rpcProtocols.quarantine, (from, frame) => {
        accusations.take(from, decodeNotice(frame))
        metrics.set('starling_quarantined_by_peers', accusations.current().length)
        return []
      })
      ends.push(
        options.connector.onConnection((peerId, state) => {
          // It may have restarted, and does not keep what it was told.
          if (state === 'open' && (untold.has(peerId) || list.has(peerId, now()))) void tell(peerId)
        }),
      )
      retry = setInterval(() => {
        for (const peerId of untold) if (list.has(peerId, now())) void tell(peerId)
        metrics.set('starling_quarantined_by_peers', accusations.current().length)
      }, retryMs).unref()
    },
    async stop() {
      stopped = true
      for (const end of ends.splice(0)) end()
      clearInterval(retry)
      clearTimeout(expiry)
      await file.settled()
    },
  }
}
