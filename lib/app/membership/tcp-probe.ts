import { connect } from 'node:net'
import { StarlingError, systemErrorCode } from '../../core/errors.ts'
import { type PeerRpc, rpcProtocols } from '../../core/messaging.ts'
import type { Endpoint } from '../../core/peer.ts'
import type { PeerId } from '../../core/peer-id.ts'
import type { Clock } from '../../core/ports.ts'
import type { TcpProbeResult } from '../../membership/events.ts'

/** So long after its kernel has accepted, a process that has no connection yet is asked over a new one. */
const dialAfterMs = 300
/** A healthy connection answers well before this; only then is the port itself looked at. */
const headStartMs = 250
const maxEndpoints = 4
/** Most bytes of all answers to one probe. */
export const maxProbeAnswerSizeBytes = 8192

export interface TcpProbeOutcome {
  readonly result: TcpProbeResult
  readonly answers: readonly Uint8Array[]
}

export interface TcpProbeTarget {
  readonly peerId: PeerId
  readonly endpoints: readonly Endpoint[]
  readonly body: Uint8Array
  /** For its kernel to accept a connection. */
  readonly timeoutMs: number
  /** For its process to answer. */
  readonly answerTimeoutMs: number
  readonly isConnected: boolean
  /**
   * May a connection be opened for this? A handshake costs both ends 20 ms of a core: while cores are short and datagrams
   * late, probes that open connections would take what is left.
   */
  readonly mayDial: () => boolean
}

/**
 * The direct TCP probe (DESIGN §4): asks the process over libp2p, and its kernel by a bare connect, to tell "killed"
 * (refused) from "vanished" (silent) and "stalled" (accepted, then silent). Tells `report` what it finds, once or,
 * where the kernel is quicker than the process, twice.
 */
export async function probeOverTcp(
  parts: { rpc: PeerRpc; clock: Clock },
  target: TcpProbeTarget,
  report: (outcome: TcpProbeOutcome) => void,
): Promise<void> {
  const { rpc, clock } = parts
  const { peerId, endpoints, body, timeoutMs, answerTimeoutMs } = target
  const startedMs = clock.monotonicMs()
  const sinceMs = () => clock.monotonicMs() - startedMs
  const ask = async (): Promise<Asked> => {
    const options = {
      timeoutMs: Math.max(50, answerTimeoutMs - sinceMs()),
      maxAnswerSizeBytes: maxProbeAnswerSizeBytes,
    }
    try {
      return { ok: true, answers: await rpc.request(peerId, rpcProtocols.probe, body, options) }
    } catch (error) {
      return { ok: false, error, tookMs: sinceMs() }
    }
  }
  const asked = target.isConnected ? ask() : undefined
  const early = await (asked && Promise.race([asked, delay(Math.min(headStartMs, timeoutMs / 2))]))
  if (early?.ok) return report({ result: 'answered', answers: early.answers })
  const port = reachAny(endpoints, Math.max(50, timeoutMs - sinceMs()))
  const answered = asked?.then<PortState | Asked>((outcome) => (outcome.ok ? outcome : port))
  const first: PortState | Asked = await Promise.race([answered ?? port, port])
  if (typeof first !== 'string') return report({ result: 'answered', answers: first.ok ? first.answers : [] })
  report({ result: first, answers: [] })
  if (first !== 'accepted') return
  if (asked === undefined) await delay(dialAfterMs)
  const outcome = await (asked ?? (target.mayDial() ? ask() : undefined))
  if (outcome?.ok) report({ result: 'answered', answers: outcome.answers })
  else if (outcome !== undefined && isAwake(outcome.error) && outcome.tookMs < 0.9 * answerTimeoutMs)
    report({ result: 'answered', answers: [] })
}

/** A process that closes a connection by itself is awake, even if it is busy; one that fails a gate is no member. */
function isAwake(error: unknown): boolean {
  return !(error instanceof StarlingError && error.code === 'ATTESTATION_REFUSED')
}

type PortState = 'accepted' | 'refused' | 'silent'

type Asked =
  | { readonly ok: true; readonly answers: readonly Uint8Array[] }
  | { readonly ok: false; readonly error: unknown; readonly tookMs: number }

/** The best of all addresses: accepted before refused before silent. */
async function reachAny(endpoints: readonly Endpoint[], timeoutMs: number): Promise<PortState> {
  const results = await Promise.all(
    endpoints.slice(0, maxEndpoints).map((endpoint) => reach(endpoint, timeoutMs)),
  )
  if (results.includes('accepted')) return 'accepted'
  return results.includes('refused') ? 'refused' : 'silent'
}

function reach(endpoint: Endpoint, timeoutMs: number): Promise<PortState> {
  return new Promise((resolve) => {
    const socket = connect({ host: endpoint.host, port: endpoint.port })
    const conclude = (result: PortState): void => {
      clearTimeout(timer)
      socket.destroy()
      resolve(result)
    }
    const timer = setTimeout(conclude, timeoutMs, 'silent')
    socket.once('connect', () => conclude('accepted'))
    socket.on('error', (error) => conclude(systemErrorCode(error) === 'ECONNREFUSED' ? 'refused' : 'silent'))
  })
}

function delay(durationMs: number): Promise<undefined> {
  return new Promise((resolve) => {
    setTimeout(resolve, durationMs, undefined)
  })
}
