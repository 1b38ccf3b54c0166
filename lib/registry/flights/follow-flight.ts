import type { FlightNote } from '../../core/lookup.ts'
import type { PeerId } from '../../core/peer-id.ts'
import { type WantedBytes, wholeBody } from '../../selection/wanted-bytes.ts'
import { finishBody, unsatisfiable } from '../blob-answer.ts'
import { wantedBytes } from '../conditional.ts'
import type { Exchange, Found, RegistryServices } from '../exchange.ts'
import { fromPeersReason, giverNames, nobodyGaveIt, sharesOf } from '../reasons.ts'
import { peerPath } from '../sources.ts'
import { runTransfer } from '../transfer.ts'
import type { TransferAttempt } from '../transfer-attempt.ts'
import type { TransferCheck } from '../transfer-check.ts'
import type { TransferResult } from '../transfer-job.ts'
import { FlightBody } from './flight-body.ts'

/** So many parents one request has, at most, one after the other. */
const maxParents = 6
const watchIntervalMs = 250

/** What is checked of a flight is checked over all parents, in `FlightBody`. */
const letThrough: TransferCheck = {
  checks: false,
  pass: (chunk) => ({ free: [chunk] }),
  finish: () => ({ free: [] }),
}

/**
 * Gives a client a blob that a peer is still downloading. Where the parent is lost another one goes on from the byte reached,
 * as the steward says; where there is none the answer is 404, or the body ends by FIN, and containerd goes on upstream.
 */
export async function followFlight(
  exchange: Exchange,
  services: RegistryServices,
  name: string,
  found: Found,
  header: string | undefined,
): Promise<void> {
  const wanted = wantedBytes(header)
  if (wanted === 'unsatisfiable') {
    unsatisfiable(exchange, undefined)
    return
  }
  const body = new FlightBody(exchange, found.digest, wanted !== wholeBody, services.passing)
  try {
    await followParents({ exchange, services, name, found, body, wanted })
  } finally {
    body.close()
  }
}

/** One parent after the other, until the body is complete or nobody is left. */
async function followParents(following: Following): Promise<void> {
  const { exchange, services, name, found, body } = following
  const { out } = exchange
  const untilMs = services.now() + services.limits.flightCeilingMs
  const attempts: TransferAttempt[] = []
  const lost: PeerId[] = []
  let answer: Found | undefined = found
  let result: TransferResult | undefined
  while (answer !== undefined) {
    result = await fromParent({ ...following, found: answer })
    attempts.push(...result.attempts)
    if (result.outcome === 'finished' || result.outcome === 'unsatisfiable' || out.signal.aborted) break
    if (lost.length === maxParents || (!out.headSent && services.now() >= untilMs)) break
    lost.push(...answer.candidates.map(({ peer }) => peer.peerId).slice(0, maxParents - lost.length))
    answer = await claimAgain(services, name, found, lost)
  }
  const last = attempts.at(-1)?.peer.peerId
  const wrong = result?.outcome === 'finished' && !body.finish()
  if (wrong && last !== undefined) await note(services, found, last, 'wrong', 0)
  exchange.peers = giverNames(attempts)
  exchange.shares = sharesOf(attempts)
  if (result?.outcome === 'unsatisfiable') unsatisfiable(exchange, result.sizeBytes)
  else if (!out.headSent) exchange.fail(nobodyGaveIt(found, attempts, 'BLOB_UNKNOWN'))
  else {
    exchange.source = 'peer'
    const what = wrong ? ', but not the bytes of the digest' : ''
    exchange.reason = `in flight ${fromPeersReason(found, attempts)}${what}`
    if (!wrong && body.checks && body.body !== undefined && !out.incomplete) {
      const { sizeBytes } = body.body
      services.cache.putDescriptor(found.digest, { sizeBytes, manifestType: undefined })
    }
    finishBody(exchange)
  }
}

interface Following {
  readonly exchange: Exchange
  readonly services: RegistryServices
  readonly name: string
  readonly found: Found
  readonly body: FlightBody
  readonly wanted: WantedBytes
}

async function fromParent(following: Following): Promise<TransferResult> {
  const { exchange, services, name, found, body, wanted } = following
  const ended = new AbortController()
  const parent = found.candidates[0]?.peer.peerId
  const isFlight = found.flight === 'follow'
  const watch = async (): Promise<void> => {
    if (parent !== undefined && (await note(services, found, parent, 'running', body.next)) === 'lost')
      ended.abort()
  }
  const timer = isFlight ? setInterval(() => void watch(), watchIntervalMs) : undefined
  try {
    const known = body.body
    const result = await runTransfer(
      {
        digest: found.digest,
        path: peerPath('blobs', name, found),
        wanted: known === undefined ? wanted : { kind: 'span', start: body.next, end: known.end },
        candidates: found.candidates.map(({ peer }) => ({ peer, reach: 'complete' })),
        maxSizeBytes: Number.MAX_SAFE_INTEGER,
        begunSizeBytes: known?.sizeBytes,
        unranged: true,
        // Another parent, or a better one, is the steward's to name.
        askedOnce: isFlight,
        signal: AbortSignal.any([exchange.out.signal, ended.signal]),
      },
      body,
      { ...(isFlight ? patient(services) : services), startCheck: () => letThrough },
    )
    if (isFlight && parent !== undefined) {
      const bytes = result.attempts.reduce((sum, attempt) => sum + attempt.bytes, 0)
      await note(services, found, parent, 'ended', bytes)
    }
    return result
  } finally {
    clearInterval(timer)
  }
}

/** The services for asking a parent: the control plane knows by its words whether it is alive, so silence is borne. */
export function patient(services: RegistryServices): RegistryServices {
  const { peers, limits } = services
  const ceilingMs = limits.flightCeilingMs
  return {
    ...services,
    peers: {
      open: (request) =>
        peers.open({ ...request, connectTimeoutMs: ceilingMs, firstByteTimeoutMs: ceilingMs }),
      namedAddress: (peer) => peers.namedAddress(peer),
      spare: (peer, giveUp) => peers.spare(peer, giveUp),
    },
    limits: { ...limits, stallTimeoutMs: ceilingMs, openBudgetMs: ceilingMs },
  }
}

async function note(
  { control }: RegistryServices,
  { registry, digest }: Found,
  parent: PeerId,
  what: FlightNote['what'],
  bytes: number,
): Promise<'alive' | 'lost'> {
  try {
    return (await control.flight?.({ registry, digest, parent, what, bytes })) ?? 'alive'
  } catch {
    return 'alive'
  }
}

async function claimAgain(
  { control }: RegistryServices,
  repository: string,
  { registry, digest }: Found,
  lost: readonly PeerId[],
): Promise<Found | undefined> {
  const target = { kind: 'digest', repository, digest } as const
  const query = { registry, target, fromPeer: false, fresh: true, claim: { lost } }
  const answer = await control.lookup(query).catch(() => undefined)
  return answer?.found === true && !answer.local && answer.candidates.length > 0 ? answer : undefined
}
