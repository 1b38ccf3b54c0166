import { StarlingError } from '../../core/errors.ts'
import type { AdminActions, QuarantineView } from '../../core/ops-view.ts'
import type { QuarantineService } from './service.ts'
import { quarantineView } from './view.ts'

const maxNameLength = 256

/** What the ops API may do about peers: `peers-release` takes `{ peer }`, a name or a PeerId. */
export function peerActions(running: () => Pick<QuarantineService, 'release'> | undefined): AdminActions {
  return {
    async 'peers-release'(body): Promise<QuarantineView> {
      const { peer } = (body ?? {}) as { peer?: unknown }
      if (typeof peer !== 'string' || peer === '' || peer.length > maxNameLength) {
        throw new StarlingError('USAGE', 'name a peer, as starling peers shows it')
      }
      const quarantine = running()
      if (quarantine === undefined) {
        throw new StarlingError('NOT_FOUND', 'this node shares nothing now, so that nobody is in quarantine')
      }
      return quarantineView(quarantine.release(peer))
    },
  }
}
