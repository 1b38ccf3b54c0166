import type { CatalogService, PeerConnector } from '../../core/cluster.ts'
import type { CredentialSet } from '../../core/credentials.ts'
import { describeError } from '../../core/errors.ts'
import type { PeerId } from '../../core/peer-id.ts'
import type { Logger } from '../../core/ports.ts'
import type { RunningMembership } from '../membership/options.ts'

export interface ExpulsionParts {
  readonly self: PeerId
  readonly membership: Pick<RunningMembership, 'expel'>
  readonly catalog: Pick<CatalogService, 'setOriginState'>
  readonly host: Pick<PeerConnector, 'disconnect'>
  readonly log: Logger
}

/** Puts out who is revoked, each once: no candidate, no connection, no holdings from then on. */
export function createExpulsion(parts: ExpulsionParts): (credentials: CredentialSet) => void {
  const { self, membership, catalog, host, log } = parts
  const expelled = new Set<PeerId>([self])
  return ({ revocations = [] }) => {
    for (const { name, peerId } of revocations) {
      if (expelled.has(peerId)) continue
      expelled.add(peerId)
      log.warn({ name, peerId }, 'a node was revoked: it is refused from now on')
      membership.expel(peerId)
      catalog.setOriginState(peerId, 'forgotten')
      host
        .disconnect(peerId)
        .catch((error) => log.debug({ peerId, error: describeError(error) }, 'disconnect'))
    }
  }
}
