import { StarlingError } from '../../core/errors.ts'
import type { AdminActions } from '../../core/ops-view.ts'
import type { Clock, Logger } from '../../core/ports.ts'
import type { Acknowledgement } from '../../supervisor/api.ts'
import { maxTokens, withoutNode, withoutToken, withToken } from '../../trust/cluster-changes.ts'
import type { ClusterStore } from './cluster-store.ts'
import { makeToken } from './first-state.ts'

const maxTtlMs = 3650 * 86_400_000
const maxDescriptionLength = 200

export interface TokenRow {
  readonly id: string
  readonly usage: string
  readonly description: string
  readonly createdAt: string
  /** Null: never. */
  readonly expiresAt: string | null
  readonly state: 'good' | 'expired' | 'deleted'
}

export interface NodeRow {
  readonly name: string
  readonly role: string
  readonly peerId: string
  readonly p2p: readonly string[]
  /** When it last said that it works with what the servers tell; null: not since this server runs. */
  readonly heardAt: string | null
  /** Since when it is refused for good; null: it is not. */
  readonly revokedAt: string | null
}

/** What `starling token` and `starling node` ask for, on a server. */
export function createTokenAdmin(options: {
  readonly store: ClusterStore
  readonly acknowledged: () => Readonly<Record<string, Acknowledgement>>
  readonly clock: Clock
  readonly log: Logger
}): AdminActions {
  const { store, acknowledged, clock, log } = options
  const iso = (ms: number) => new Date(ms).toISOString()

  return {
    'token-create': async (body) => {
      const { usage = 'node', description = '', ttlMs = null } = fields(body)
      if (usage !== 'node' && usage !== 'server') throw usageError('the usage is neither node nor server')
      if (typeof description !== 'string' || description.length > maxDescriptionLength) {
        throw usageError(`a description has at most ${maxDescriptionLength} characters`)
      }
      const lasts = typeof ttlMs === 'number' && ttlMs > 0 && ttlMs <= maxTtlMs
      if (ttlMs !== null && !lasts) throw usageError('a token lasts for more than 0 s and at most ten years')
      const nowMs = clock.wallMs()
      const expiresMs = ttlMs === null ? undefined : nowMs + Number(ttlMs)
      const { id, entry, text } = await makeToken(store.current(), { usage, description, expiresMs }, nowMs)
      await store.update((state) => {
        const next = withToken(state, id, entry, nowMs)
        if (Object.keys(next.tokens).length > maxTokens) {
          throw usageError(`there are ${maxTokens} tokens already`)
        }
        return next
      })
      log.info({ audit: 'token-created', tokenId: id, usage, expiresMs }, 'audit: a token was created')
      return { id, usage, token: text, expiresAt: expiresMs === undefined ? null : iso(expiresMs) }
    },
    'token-list': async () =>
      Object.entries(store.current().tokens)
        .map(([id, { usage, description, createdMs, expiresMs, secret }]): TokenRow => {
          const expired = expiresMs !== undefined && clock.wallMs() >= expiresMs
          return {
            id,
            usage,
            description,
            createdAt: iso(createdMs),
            expiresAt: expiresMs === undefined ? null : iso(expiresMs),
            state: secret === undefined ? 'deleted' : expired ? 'expired' : 'good',
          }
        })
        .sort((a, b) => (a.createdAt < b.createdAt ? -1 : 1)),
    'token-delete': async (body) => {
      const { id } = fields(body)
      await store.update((state) => {
        const next = withoutToken(state, String(id))
        if (next === undefined) throw notFound(`there is no token ${shown(id)}`)
        return next
      })
      log.info({ audit: 'token-deleted', tokenId: id }, 'audit: a token was deleted')
      return { id }
    },
    'node-list': async () =>
      Object.entries(store.current().nodes)
        .filter(([, { free }]) => !free)
        .map(([name, { role, peerId, p2p }]): NodeRow => {
          const heardMs = acknowledged()[name]?.heardMs
          const revokedMs = store.current().revocations[peerId]?.revokedMs
          const time = (ms: number | undefined) => (ms === undefined ? null : iso(ms))
          return { name, role, peerId, p2p, heardAt: time(heardMs), revokedAt: time(revokedMs) }
        })
        .sort((a, b) => (a.name < b.name ? -1 : 1)),
    'node-forget': async (body) => {
      const { name } = fields(body)
      await store.update((state) => {
        const next = withoutNode(state, String(name), store.name)
        if (next === undefined) throw notFound(`no node of the name ${shown(name)} has joined`)
        return next
      })
      log.info({ audit: 'name-freed', node: name }, 'audit: the name of a node was set free')
      return { name }
    },
  }
}

function fields(body: unknown): Record<string, unknown> {
  return typeof body === 'object' && body !== null ? { ...body } : {}
}

function shown(value: unknown): string {
  return JSON.stringify(String(value).slice(0, 100))
}

function usageError(message: string): StarlingError {
  return new StarlingError('USAGE', message)
}

function notFound(message: string): StarlingError {
  return new StarlingError('NOT_FOUND', message)
}
