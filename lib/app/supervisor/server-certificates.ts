import { X509Certificate } from 'node:crypto'
import type { KeyPair } from '../../core/credentials.ts'
import { describeError } from '../../core/errors.ts'
import type { Clock, Logger, Service, Subscribable } from '../../core/ports.ts'
import { createValue } from '../../core/value.ts'
import { issueClientCertificate, issueServingCertificate } from '../../trust/certificates.ts'
import type { AuthorityEntry } from '../../trust/cluster-state.ts'
import type { ClusterStore } from './cluster-store.ts'
import { termsOf } from './issuer.ts'

const lookMs = 60_000

/** What a server shows on 9345, and what it shows to other servers; keys are in memory only. */
export interface ServerCertificateSet {
  readonly serving: KeyPair
  readonly client: KeyPair
  readonly serverCaPem: string
  readonly clientCaPem: string
}

export type ServerCertificates = Subscribable<ServerCertificateSet> & Service

export interface ServerCertificatesOptions {
  readonly store: ClusterStore
  /** Addresses and names under which this server is reached. */
  readonly hosts: readonly string[]
  readonly lifetimeMs: () => number
  readonly clock: Clock
  readonly log: Logger
}

/** A server has the CA, so it issues its own: at the start, when the CA changes, and at two thirds of their life. */
export async function createServerCertificates(
  options: ServerCertificatesOptions,
): Promise<ServerCertificates> {
  const { store, hosts, lifetimeMs, clock, log } = options
  let authority: AuthorityEntry = store.current().authority
  const value = createValue(await issue(authority))
  let timer: NodeJS.Timeout | undefined
  let unsubscribe: (() => void) | undefined
  let turn: Promise<void> = Promise.resolve()

  async function issue({ serverCa, clientCa, serverCaPem, clientCaPem }: AuthorityEntry) {
    const subject = { nodeName: store.name, addresses: hosts, peerId: undefined, server: true }
    const terms = (caPem: string) => termsOf(caPem, lifetimeMs(), clock)
    return {
      serving: await issueServingCertificate(serverCa, subject, terms(serverCa.certPem)),
      client: await issueClientCertificate(clientCa, store.name, terms(clientCa.certPem), { server: true }),
      serverCaPem,
      clientCaPem,
    }
  }

  function isDue(): boolean {
    const { validFromDate, validToDate } = new X509Certificate(value.current().serving.certPem)
    const lifeMs = validToDate.getTime() - validFromDate.getTime()
    return clock.wallMs() >= validFromDate.getTime() + (2 / 3) * lifeMs
  }

  function look(): void {
    turn = turn.then(async () => {
      const wanted = store.current().authority
      if (wanted === authority && !isDue()) return
      try {
        value.set(await issue(wanted))
        authority = wanted
        log.info({ audit: 'issued', kind: 'server-own' }, 'audit: this server has new certificates')
      } catch (error) {
        log.error({ error: describeError(error) }, 'this server could not renew its own certificates')
      }
    })
  }

  return {
    current: value.current,
    subscribe: value.subscribe,
    async start() {
      unsubscribe = store.subscribe(look)
      timer = setInterval(look, lookMs).unref()
    },
    async stop() {
      clearInterval(timer)
      unsubscribe?.()
      await turn
    },
  }
}
