import type { PeerShare } from '../core/lookup.ts'
import type { Found } from './exchange.ts'
import type { OciFailure } from './oci-error.ts'
import type { TransferAttempt } from './transfer-attempt.ts'

const maxNamed = 5

/** Names of the peers that gave bytes, in order. */
export function giverNames(attempts: readonly TransferAttempt[]): string[] {
  const givers = attempts.filter(({ bytes, outcome }) => bytes > 0 || outcome === 'complete')
  return [...new Set(givers.map(({ peer }) => peer.name))]
}

/** What each peer gave, in the order in which they began. */
export function sharesOf(attempts: readonly TransferAttempt[]): PeerShare[] {
  const bytes = new Map<string, number>()
  for (const attempt of attempts) {
    if (attempt.bytes > 0) bytes.set(attempt.peer.name, (bytes.get(attempt.peer.name) ?? 0) + attempt.bytes)
  }
  return [...bytes].map(([peer, sum]) => ({ peer, bytes: sum }))
}

/** `from node-2 (1 of 3 holders)`, and who was tried in vain. */
export function fromPeersReason(found: Found, attempts: readonly TransferAttempt[]): string {
  const givers = giverNames(attempts)
  const failed = lastOfEach(
    attempts.filter(({ outcome }) => outcome !== 'complete' && outcome !== 'cancelled'),
  )
  const from = givers.length === 0 ? 'from nobody' : `from ${givers.join(', ')}`
  const of =
    found.flight === 'follow'
      ? '(still downloading)'
      : `(${givers.length} of ${found.holders} ${found.holders === 1 ? 'holder' : 'holders'})`
  return failed.length === 0 ? `${from} ${of}` : `${from} ${of}; failed: ${list(failed)}`
}

/** The answer where there are holders, but none gave the content. */
export function nobodyGaveIt(
  found: Found,
  attempts: readonly TransferAttempt[],
  code: OciFailure['code'],
): OciFailure {
  const failed = lastOfEach(attempts)
  const what = `${found.digest} of ${found.registry}`
  const message =
    failed.length === 0
      ? `this node has lost ${what}, and no other live node of the cluster holds it`
      : failed.length === 1
        ? `the node that was asked for ${what} did not give it: ${list(failed)}`
        : `none of the ${failed.length} nodes that were asked for ${what} gave it: ${list(failed)}`
  return { status: 404, code, message, detail: { reason: 'holders-failed', registry: found.registry } }
}

/** One attempt for each peer: the last. */
function lastOfEach(attempts: readonly TransferAttempt[]): TransferAttempt[] {
  return [...new Map(attempts.map((attempt) => [attempt.peer.peerId, attempt])).values()]
}

function list(attempts: readonly TransferAttempt[]): string {
  const named = attempts.slice(0, maxNamed).map((attempt) => attempt.describe())
  const more = attempts.length - named.length
  return more > 0 ? `${named.join(', ')} and ${more} more` : named.join(', ')
}
