import { randomBytes, X509Certificate } from 'node:crypto'
import { StarlingError } from '../../core/errors.ts'
import type { AdminActions } from '../../core/ops-view.ts'
import type { Clock, Logger } from '../../core/ports.ts'
import { makeCertificateAuthority } from '../../trust/certificates.ts'
import type { ClusterState } from '../../trust/cluster-state.ts'
import { crossSign } from '../../trust/cross-sign.ts'
import { minPskSizeBytes } from '../../trust/keyring.ts'
import {
  abortRotation,
  type RotationStart,
  rotationOf,
  startCaRotation,
  startPskRotation,
  takeOverRotation,
} from '../../trust/rotation.ts'
import type { ClusterStore } from './cluster-store.ts'
import type { Conductor } from './conductor.ts'
import { authorityTerms } from './first-state.ts'
import { resignRevocations, withRevocation } from './revoke.ts'

const maxReasonLength = 200

/** Where a rotation stands; null: none is under way. */
export interface RotationRow {
  readonly kind: 'psk' | 'ca'
  readonly stage: string
  readonly back: boolean
  readonly startedAt: string
  readonly conductor: string
  /** Nodes that don't work with this stage yet. */
  readonly waitingFor: readonly string[]
}

/** What `starling trust rotate-…` and `starling node revoke` ask for, on a server. */
export function createRotationAdmin(options: {
  readonly store: ClusterStore
  readonly conductor: Pick<Conductor, 'late'>
  readonly clock: Clock
  readonly log: Logger
}): AdminActions {
  const { store, conductor, clock, log } = options

  function row(): RotationRow | null {
    const rotation = rotationOf(store.current())
    if (rotation === undefined) return null
    const { kind, stage, back, startedMs, conductor: name } = rotation
    const startedAt = new Date(startedMs).toISOString()
    return { kind, stage, back, startedAt, conductor: name, waitingFor: conductor.late() }
  }

  async function change(
    what: string,
    make: (state: ClusterState, start: RotationStart) => ClusterState,
  ): Promise<RotationRow | null> {
    await store.update((state) => {
      const next = make(state, { nowMs: clock.wallMs(), by: store.name })
      return next === state ? state : resignRevocations(next, store.name, state)
    })
    log.info({ audit: 'rotation', what, ...row() }, 'audit: a rotation was asked for')
    return row()
  }

  async function newRoots() {
    const { serverCa } = store.current().authority
    const terms = () => authorityTerms(clock.wallMs())
    const label = randomBytes(4).toString('hex')
    const next = await makeCertificateAuthority(`starling server CA ${label}`, terms())
    const end = new X509Certificate(serverCa.certPem).validToDate.getTime()
    const crossed = { ...terms(), notAfterMs: Math.min(terms().notAfterMs, end) }
    return {
      serverCa: next,
      clientCa: await makeCertificateAuthority(`starling client CA ${label}`, terms()),
      crossSignedPem: await crossSign(next.certPem, serverCa, crossed),
    }
  }

  return {
    'rotation-show': async () => row(),
    'rotate-psk': () => {
      const key = randomBytes(minPskSizeBytes).toString('hex')
      return change('psk', (state, start) => startPskRotation(state, key, start))
    },
    'rotate-ca': async () => {
      const roots = await newRoots()
      return change('ca', (state, start) => startCaRotation(state, roots, start))
    },
    'rotation-abort': () => change('abort', abortRotation),
    'rotation-continue': () => change('continue', (state, { by }) => takeOverRotation(state, by)),
    'node-revoke': async (body) => {
      const { name, reason = '' } = { ...(body as { name?: unknown; reason?: unknown } | null) }
      if (typeof name !== 'string') throw new StarlingError('USAGE', 'no node is named')
      if (typeof reason !== 'string' || reason.length > maxReasonLength) {
        throw new StarlingError('USAGE', `a reason has at most ${maxReasonLength} characters`)
      }
      if (name === store.name) {
        throw new StarlingError('USAGE', 'a server does not revoke itself', { hint: 'ask another server' })
      }
      await store.update((state) => {
        const by = { revokedMs: clock.wallMs(), reason, by: store.name }
        const next = withRevocation(state, name, by)
        if (next !== undefined) return next
        throw new StarlingError(
          'NOT_FOUND',
          `no node ${JSON.stringify(name.slice(0, 100))} has joined that is not revoked`,
          {
            hint: 'starling node list shows all of them',
          },
        )
      })
      log.warn({ audit: 'revoked', node: name, reason }, 'audit: a node was revoked')
      return { name, role: store.current().nodes[name]?.role }
    },
  }
}
