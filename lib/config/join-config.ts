import { posix } from 'node:path'
import type { JoinConfig, NodeConfig, SupervisorConfig } from '../core/config.ts'
import { configDefaults as defaults } from './config-defaults.ts'
import type { ConfigDocument } from './config-schema.ts'
import { endpoints, hostPort, milliseconds, toList } from './config-values.ts'

/** What a configuration is used for. */
export type NodeRole = 'agent' | 'server'

/**
 * Does a node with this file get its certificates from servers, or make them as one? Commands that only look at the
 * file don't know the role: a key that has a meaning for servers alone tells it.
 */
export function isJoined(document: ConfigDocument, role: NodeRole | undefined): boolean {
  if (document.trust === 'files') return false
  const isServerFile = document['embedded-registry'] === true || document['supervisor-metrics'] === true
  return role === 'server' || document.server !== undefined || isServerFile
}

export function normaliseJoin(
  document: ConfigDocument,
  resolve: (path: string) => string,
): { join?: JoinConfig } {
  const { server, token, tokenFile } = document
  if (server === undefined) return {}
  const { host, port } = hostPort(
    server.replace(/^https:\/\//, '').replace(/\/$/, ''),
    defaults.supervisor.port,
  )
  const authority = host.includes(':') ? `[${host}]` : host
  return {
    join: {
      server: `https://${authority}:${port}`,
      token,
      tokenFile: tokenFile === undefined ? undefined : resolve(tokenFile),
    },
  }
}

export function normaliseSupervisor(document: ConfigDocument): SupervisorConfig {
  const { listen, advertise, names, certificateLifetime } = document.supervisor ?? {}
  const listening = endpoints(listen ?? defaults.supervisor.listen)
  const port = listening[0]?.port ?? defaults.supervisor.port
  return {
    listen: listening,
    advertise: toList(advertise ?? []).map((text) => hostPort(text, port)),
    names: [...(names ?? [])],
    certificateLifetimeMs: milliseconds(certificateLifetime ?? defaults.supervisor.certificateLifetime),
    embeddedRegistry: document['embedded-registry'] ?? defaults.embeddedRegistry,
    metrics: document['supervisor-metrics'] ?? defaults.supervisorMetrics,
  }
}

/** What is wrong with keys that are good alone. */
export interface Conflict {
  /** JSON pointer of the value at fault. */
  readonly pointer: string
  readonly message: string
  readonly hint: string
}

/** Keys that don't go with the role, or with one another. */
export function findRoleConflicts(
  config: NodeConfig,
  document: ConfigDocument,
  role: NodeRole | undefined,
): Conflict[] {
  const found: Conflict[] = []
  const add = (pointer: string, message: string, hint: string) => found.push({ pointer, message, hint })
  for (const key of ['token', 'tokenFile'] as const) {
    if (document[key] === undefined || document.server !== undefined) continue
    add(`/${key}`, `${key} is for a node that joins, and server is not set`, 'set server, or remove it')
  }
  if (document.token !== undefined && document.tokenFile !== undefined) {
    add('/tokenFile', 'token and tokenFile are two ways to give one token', 'remove one of them')
  }
  if (role === 'agent') {
    for (const key of ['embedded-registry', 'supervisor-metrics'] as const) {
      if (document[key] !== true) continue
      add(`/${key}`, `${key} has a meaning only for starling server`, 'remove it, or run starling server')
    }
  }
  if (document.trust === 'files' && (document.server !== undefined || role === 'server')) {
    add(
      '/trust',
      'a server, and a node that joins one, does not work from files',
      'remove trust, or remove server and run starling agent',
    )
  }
  const made = posix.join(config.dataDir, defaults.joinedTrustDir)
  const elsewhere = Object.values(config.trust).some((file) => posix.dirname(file) !== made)
  if (typeof document.trust === 'object' && elsewhere && isJoined(document, role)) {
    add('/trust', `certificates that come from the servers are kept in ${made}`, 'remove trust')
  }
  return found
}
