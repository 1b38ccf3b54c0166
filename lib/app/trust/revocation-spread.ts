import type { PeerConnector } from '../../core/cluster.ts'
import type { Credentials } from '../../core/credentials.ts'
import { describeError } from '../../core/errors.ts'
import { type PeerRpc, rpcProtocols } from '../../core/messaging.ts'
import type { PeerId } from '../../core/peer-id.ts'
import type { Logger, Metrics, Service } from '../../core/ports.ts'
import {
  formatRevocations,
  isSigned,
  maxRevocationListSizeBytes,
  mergeRevocations,
  readRevocations,
  type SignedRevocation,
} from '../../trust/revocation-list.ts'
import { replaceFile } from '../replace-file.ts'

const timeoutMs = 5_000

export interface RevocationSpreadOptions {
  readonly credentials: Credentials
  readonly rpc: PeerRpc
  readonly connector: Pick<PeerConnector, 'connections' | 'onConnection'>
  /** Where the list is kept; undefined: what comes is passed on and not kept. */
  readonly file: string | undefined
  /** The file has changed: it is to be read now. */
  readonly changed: () => Promise<void>
  readonly log: Logger
  readonly metrics: Metrics
}

/**
 * Passes the list of revoked nodes from neighbour to neighbour, so that every live node has it within moments and one that was
 * away when it comes back. Each entry is signed by the CA; what is not is dropped and counted.
 */
export function createRevocationSpread(options: RevocationSpreadOptions): Service {
  const { credentials, rpc, connector, file, log, metrics } = options
  const ends: (() => void)[] = []
  let keeping: Promise<void> = Promise.resolve()

  const known = (): readonly SignedRevocation[] => (credentials.current().revocations ?? []).filter(isSigned)
  const encoded = (): Uint8Array => Buffer.from(formatRevocations(known()))

  async function tell(peer: PeerId): Promise<void> {
    try {
      const answer = { timeoutMs, maxAnswerSizeBytes: 1024 }
      await rpc.request(peer, rpcProtocols.revocations, encoded(), answer)
    } catch (error) {
      log.debug({ peer, error: describeError(error) }, 'a neighbour could not be told who is revoked')
    }
  }

  function tellAll(except?: PeerId): void {
    const peers = new Set(connector.connections().map(({ peerId }) => peerId))
    for (const peer of peers) if (peer !== except) void tell(peer)
  }

  /** Keeps what is new; the credentials tell of it when they have read it. */
  async function take(from: PeerId, frame: Uint8Array): Promise<void> {
    const { serverCaPem } = credentials.current()
    let theirs: readonly SignedRevocation[]
    try {
      if (frame.length > maxRevocationListSizeBytes) throw new Error(`it has ${frame.length} bytes`)
      theirs = readRevocations(Buffer.from(frame).toString('utf8'), serverCaPem, `from ${from}`)
    } catch (error) {
      metrics.count('starling_revocation_lists_total', { outcome: 'refused' })
      log.warn({ peer: from, reason: describeError(error) }, 'a list of revoked nodes is refused')
      return
    }
    const ours = known()
    const merged = mergeRevocations(ours, theirs)
    metrics.count('starling_revocation_lists_total', {
      outcome: merged.length === ours.length ? 'known' : 'taken',
    })
    if (merged.length === ours.length || file === undefined) return
    try {
      await replaceFile(file, formatRevocations(merged))
      await options.changed()
    } catch (error) {
      log.error({ file, error: describeError(error) }, 'the list of revoked nodes could not be kept')
    }
  }

  let told = ''
  return {
    async start() {
      told = formatRevocations(known())
      rpc.handle(rpcProtocols.revocations, (from, frame) => {
        keeping = keeping.then(() => take(from, frame))
        return []
      })
      ends.push(
        credentials.subscribe(() => {
          const now = formatRevocations(known())
          if (now === told) return
          told = now
          tellAll()
        }),
        connector.onConnection((peerId, state) => {
          if (state === 'open' && known().length > 0) void tell(peerId)
        }),
      )
    },
    async stop() {
      for (const end of ends.splice(0)) end()
      await keeping
    },
  }
}
