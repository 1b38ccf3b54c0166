import { X509Certificate } from 'node:crypto'
import type { NodeConfig } from '../core/config.ts'
import type { CredentialSet, Credentials } from '../core/credentials.ts'
import type { ReadyView, StatusView } from '../core/ops-view.ts'
import { type Endpoint, formatEndpoint, type Member } from '../core/peer.ts'
import type { Clock } from '../core/ports.ts'
import type { LayersWatch } from './check/layers-watch.ts'
import type { HostsKeeper } from './config/hosts-keeper.ts'
import type { LiveFiles } from './config/live-files.ts'
import { disputeLines } from './disputes.ts'
import type { ImagesFolder } from './import/images-folder.ts'
import { accusationView, quarantineLines, quarantineView } from './quarantine/view.ts'
import type { Sharing } from './sharing-parts.ts'
import type { ClusterPart } from './supervisor/cluster-part.ts'
import { version } from './version.ts'

const certificateWarningMs = 14 * 86_400_000

export interface StatusSources {
  readonly config: NodeConfig
  readonly credentials: Credentials
  readonly clock: Clock
  readonly startedMs: number
  readonly imports: ImagesFolder
  readonly settings: LiveFiles
  readonly hosts: HostsKeeper
  readonly role: 'agent' | 'server'
  /** Present where the node has joined servers or is one. */
  readonly cluster: Pick<ClusterPart, 'view' | 'sharingAllowed'> | undefined
  /** Of the parts that deal with other servers. */
  readonly clusterProblems: () => readonly string[]
  readonly layers: LayersWatch
  readonly sharing: () => Sharing | undefined
  readonly registryListen: () => readonly Endpoint[]
  /** Why sharing could not begin or end, in one line. */
  readonly sharingProblem: () => string | undefined
}

export function statusView(sources: StatusSources): StatusView {
  const { config, credentials, clock, startedMs } = sources
  const sharing = sources.sharing()
  const certificates = certificatesOf(credentials.current())
  return {
    name: config.node.name,
    peerId: credentials.current().peerId,
    version,
    role: sources.role,
    zone: config.node.zone,
    startedAt: new Date(startedMs).toISOString(),
    uptimeMs: Math.max(0, clock.wallMs() - startedMs),
    sharing: { active: sharing !== undefined, reason: sharingReason(sources) },
    registryListen: sources.registryListen().map(formatEndpoint),
    p2pListen: (sharing?.host.listening() ?? []).map(formatEndpoint),
    udp: sharing?.udp.available() ?? false,
    store: sharing?.store.status() ?? {
      kind: config.store.type,
      state: 'stopped',
      version: undefined,
      problem: undefined,
      sinceMs: startedMs,
    },
    members: countStates(sharing?.membership.members() ?? []),
    connections: sharing?.host.connections().length ?? 0,
    registries: sharing?.catalog.summaries() ?? [],
    certificates: certificates.map(({ name, notAfterMs }) => ({
      name,
      notAfter: new Date(notAfterMs).toISOString(),
    })),
    imports: sources.imports.view(),
    ...(sources.cluster === undefined ? {} : { cluster: sources.cluster.view() }),
    flights: sharing?.flights.views() ?? [],
    ...(sharing === undefined ? {} : { quarantine: quarantineOf(sharing) }),
    problems: problemsOf(sources, certificates),
  }
}

function quarantineOf({ quarantine }: Sharing): NonNullable<StatusView['quarantine']> {
  return {
    peers: quarantine.current().map(quarantineView),
    by: quarantine.accusations().map(accusationView),
  }
}

export function readyView(sources: StatusSources): ReadyView {
  const sharing = sources.sharing()
  if (sharing === undefined) {
    const problem = sources.sharingProblem()
    return { ready: problem === undefined, reasons: problem === undefined ? [] : [problem] }
  }
  const reasons: string[] = []
  const store = sharing.store.status()
  if (store.state !== 'connected') reasons.push(`the store is not connected: ${store.problem ?? store.state}`)
  else if (!sharing.hasInventory()) reasons.push('the store is still being listed')
  return { ready: reasons.length === 0, reasons }
}

function sharingReason(sources: StatusSources): string {
  const { names, wildcard } = sources.settings.current().mirrors
  const problem = sources.sharingProblem()
  if (problem !== undefined) return problem
  if (sources.cluster?.sharingAllowed.current() === false) {
    return 'embedded-registry is off on the servers: nothing is shared and no port is open, whatever registries.yaml says'
  }
  if (sources.sharing() === undefined) {
    return `${sources.config.registries} names no registry under mirrors: nothing is shared and no port is open`
  }
  const list = [...names, ...(wildcard ? ['every registry that is seen'] : [])].join(', ')
  return `mirrors ${list}`
}

function countStates(members: readonly Member[]): StatusView['members'] {
  const counts = { alive: 0, suspect: 0, stalled: 0, dead: 0, left: 0 }
  for (const member of members) counts[member.state] += 1
  return counts
}

/** When each certificate of a node ends. */
export function certificatesOf(set: CredentialSet): { name: string; notAfterMs: number }[] {
  const { serving, client, serverCaPem, clientCaPem } = set
  const all = {
    serving: serving.certPem,
    client: client.certPem,
    'server-ca': serverCaPem,
    'client-ca': clientCaPem,
  }
  return Object.entries(all).map(([name, pem]) => ({
    name,
    notAfterMs: new X509Certificate(pem).validToDate.getTime(),
  }))
}

/** Of one file; all of them are in the log and in `starling check`. */
const maxFileWarnings = 5

function problemsOf(
  sources: StatusSources,
  certificates: readonly { name: string; notAfterMs: number }[],
): string[] {
  const { clock, config, settings } = sources
  const sharing = sources.sharing()
  const problems: string[] = []
  const add = (problem: string | undefined) => {
    if (problem !== undefined) problems.push(problem)
  }
  const { peerId, revocations = [] } = sources.credentials.current()
  if (revocations.some((entry) => entry.peerId === peerId)) add('this node was revoked: the others refuse it')
  add(settings.problem())
  for (const warning of settings.warnings().slice(0, maxFileWarnings)) add(warning)
  add(sources.layers.problem())
  add(sources.hosts.problem())
  for (const problem of sources.clusterProblems()) add(problem)
  if (settings.pending().length > 0) {
    add(`changes of ${settings.pending().join(', ')} in the configuration count from the next start`)
  }
  add(sources.sharingProblem())
  const imports = sources.imports.view()
  if (imports.problem !== undefined) add(`the images folder ${imports.folder}: ${imports.problem}`)
  for (const { file, problem, waiting } of imports.files) {
    add(problem)
    if (waiting.length > 0) add(waitingLine(file, waiting))
  }
  for (const { name, notAfterMs } of certificates) {
    const leftMs = notAfterMs - clock.wallMs()
    if (leftMs < 0) add(`the ${name} certificate has expired`)
    else if (leftMs < certificateWarningMs)
      add(`the ${name} certificate expires in ${Math.floor(leftMs / 86_400_000)} days`)
  }
  if (sharing === undefined) return problems
  add(sharing.store.status().problem)
  for (const digest of sharing.integrity.withheld()) {
    add(`${digest} is damaged on this node and not offered: remove it and pull it again`)
  }
  for (const line of quarantineLines(sharing.quarantine, config.node.name)) add(line)
  if (config.p2p.udp && !sharing.udp.available()) add('UDP is not available: members are probed over TCP')
  if (config.bootstrap.length > 0 && !sharing.membership.hasCompany()) {
    add('no other node answers: look at the bootstrap list, firewalls (5001 UDP and TCP) and the PSK')
  }
  for (const [name, count] of countNames(sharing.membership.members())) {
    if (count > 1) add(`${count} live nodes call themselves ${name}: give each its own node.name`)
  }
  for (const line of disputeLines(sharing, settings.current())) add(line)
  return problems
}

function waitingLine(file: string, waiting: readonly { name: string; reason: string }[]): string {
  const names = waiting.slice(0, 3).map(({ name }) => name)
  const more = waiting.length > names.length ? ` and ${waiting.length - names.length} more` : ''
  return `${file} waits for ${names.join(', ')}${more}: ${waiting[0]?.reason}; pull it on any node, or import an archive of it`
}

function countNames(members: readonly Member[]): Map<string, number> {
  const counts = new Map<string, number>()
  for (const { record, state } of members) {
    if (state !== 'alive' && state !== 'suspect') continue
    counts.set(record.name, (counts.get(record.name) ?? 0) + 1)
  }
  return counts
}
