import { type Endpoint, formatEndpoint } from '../../core/peer.ts'
import { ok, type Verdict, warning, wrong } from './line.ts'

const dayMs = 86_400_000
const soonMs = 14 * dayMs
const clockWarningMs = 30_000
/** Certificates are valid from five minutes before they are made: a clock that is further off refuses new ones. */
const clockWrongMs = 300_000
const maxNamed = 5

/** `notAfterMs`: the certificates by name. */
export function certificatesVerdict(
  certificates: readonly { readonly name: string; readonly notAfterMs: number }[],
  nowMs: number,
): Verdict {
  const soon = certificates.filter(({ notAfterMs }) => notAfterMs - nowMs < soonMs)
  if (soon.length === 0) return ok('all can be used now, and for two weeks at least')
  const named = soon.map(
    ({ name, notAfterMs }) => `${name} in ${Math.floor((notAfterMs - nowMs) / dayMs)} days`,
  )
  return warning(`these expire soon: ${named.join(', ')}; make new ones`)
}

export interface PortFacts {
  readonly endpoint: Endpoint
  readonly transport: 'TCP' | 'UDP'
  /** The running node listens there. */
  readonly own: boolean
  /** System error code of an attempt to listen; undefined where it worked or was not made. */
  readonly bindError: string | undefined
  readonly nodeRuns: boolean
}

const strangers: Readonly<Record<number, string>> = {
  6443: 'a Kubernetes API server (also of K3s and RKE2) uses 6443',
  9345: 'a server of RKE2 uses 9345',
  5001: 'the embedded registry of K3s and RKE2 uses 5001',
}

export function portVerdict({ endpoint, transport, own, bindError, nodeRuns }: PortFacts): Verdict {
  const place = `${transport} ${formatEndpoint(endpoint)}`
  if (own) return ok(`${place}: this node listens`)
  switch (bindError) {
    case undefined:
      return nodeRuns
        ? warning(
            `${place} is free, and the running node does not listen there; does starling status say why?`,
          )
        : ok(`${place} is free`)
    case 'EADDRINUSE': {
      const hint = strangers[endpoint.port]
      const who = hint === undefined ? '' : ` (${hint})`
      return wrong(`${place} is taken by another program${who}; stop that, or choose another port`)
    }
    case 'EADDRNOTAVAIL':
      return wrong(`${place}: this machine does not have the address; correct listen in config.yaml`)
    case 'EACCES':
      return wrong(`${place} may not be used by this user; run as root or choose a port above 1023`)
    default:
      return wrong(`${place} cannot be used (${bindError})`)
  }
}

export interface PeerFacts {
  readonly name: string
  readonly state: string
  /** Why its ports could not be reached over TCP; undefined where they were. */
  readonly p2pProblem: string | undefined
  readonly registryProblem: string | undefined
  /** Its clock minus ours; undefined where it was not told. */
  readonly skewMs: number | undefined
}

function named(names: readonly string[]): string {
  const more = names.length - maxNamed
  return `${names.slice(0, maxNamed).join(', ')}${more > 0 ? ` and ${more} more` : ''}`
}

/** Are the others there, and are their TCP ports open from here? */
export function peersVerdict(peers: readonly PeerFacts[], hasBootstrap: boolean): Verdict {
  if (peers.length === 0) {
    return hasBootstrap
      ? wrong('no other node is known; look at bootstrap, the PSK and firewalls (5001 UDP and TCP)')
      : warning('no other node is known, and bootstrap is empty; name some nodes there')
  }
  const problems = peers.flatMap(({ name, p2pProblem, registryProblem }) => [
    ...(p2pProblem === undefined ? [] : [`p2p of ${name}: ${p2pProblem}`]),
    ...(registryProblem === undefined ? [] : [`registry of ${name}: ${registryProblem}`]),
  ])
  if (problems.length > 0) return wrong(`${named(problems)}; open these ports between the nodes`)
  return ok(`${peers.length} ${peers.length === 1 ? 'node answers' : 'nodes answer'} on both ports`)
}

export interface ReachFacts {
  readonly address: string
  /** Why it could not be reached over TCP, with its address; undefined where it was. */
  readonly problem: string | undefined
}

const problemsOf = (targets: readonly ReachFacts[]) => targets.flatMap(({ problem }) => problem ?? [])

/** How the servers answer to a node that joins them. */
export function serversVerdict(targets: readonly ReachFacts[]): Verdict {
  const problems = problemsOf(targets)
  if (problems.length === 0) return ok('all servers take connections')
  return problems.length === targets.length
    ? wrong(
        `no server answers: ${named(problems)}; nothing is renewed and nobody joins meanwhile: start one, open TCP 9345`,
      )
    : warning(`some servers do not answer: ${named(problems)}`)
}

/** How the bootstrap nodes answer where no node runs here. */
export function bootstrapVerdict(targets: readonly ReachFacts[]): Verdict {
  if (targets.length === 0) return warning('bootstrap is empty: this node finds no other one by itself')
  const problems = problemsOf(targets)
  if (problems.length === 0) return ok('all bootstrap nodes take connections')
  return problems.length === targets.length
    ? wrong(`no bootstrap node answers: ${named(problems)}`)
    : warning(`some bootstrap nodes do not answer: ${named(problems)}`)
}

export interface UdpFacts {
  /** `p2p.udp` of the configuration. */
  readonly wanted: boolean
  /** The node could open its sockets. */
  readonly available: boolean
  readonly othersAlive: number
  /** Datagrams from members since the start. */
  readonly received: number
  /** Probes that were answered over TCP and not over UDP. */
  readonly tcpOnly: number
}

export function udpVerdict({ wanted, available, othersAlive, received, tcpOnly }: UdpFacts): Verdict {
  if (!wanted) return ok('it is switched off (p2p.udp); members are probed over TCP, which takes longer')
  if (!available)
    return warning('the node could not open it; members are probed over TCP, which takes longer')
  if (othersAlive === 0) return ok('there is nobody to talk to')
  if (received === 0) {
    return wrong(
      'no datagram of another node has come; open UDP 5001 between the nodes, or set p2p.udp to false',
    )
  }
  return tcpOnly > received / 20
    ? warning(`${tcpOnly} probes were answered over TCP only: some node does not get UDP 5001; open it`)
    : ok('datagrams of other nodes come')
}

/** Compares this machine's clock with those of other nodes. */
export function clockVerdict(peers: readonly PeerFacts[]): Verdict {
  const told = peers.flatMap(({ name, skewMs }) => (skewMs === undefined ? [] : [{ name, skewMs }]))
  if (told.length === 0) return ok('within the validity of the certificates; no other node could be asked')
  const far = told.filter(({ skewMs }) => Math.abs(skewMs) >= clockWarningMs)
  if (far.length === 0)
    return ok(`within 30 s of ${told.length} ${told.length === 1 ? 'other node' : 'other nodes'}`)
  const shown = far.map(({ name, skewMs }) => {
    return `${name} is ${Math.round(Math.abs(skewMs) / 1000)} s ${skewMs > 0 ? 'ahead' : 'behind'}`
  })
  const here =
    far.length * 2 > told.length ? 'the clock of this machine is off' : 'the clock of another node is off'
  const detail = `${here}: ${named(shown)}; let NTP set it`
  const isWrong = far.some(({ skewMs }) => Math.abs(skewMs) >= clockWrongMs)
  return isWrong ? wrong(detail) : warning(detail)
}

/** `problem`: why the content can't be read from files. */
export function contentVerdict(
  kind: string,
  place: string | undefined,
  problem: string | undefined,
): Verdict {
  if (problem === undefined) return ok(`${place} can be read`)
  return kind === 'containerd'
    ? warning(
        `${problem}; blobs are read over containerd's socket, which is slower: run as root or mount the folder`,
      )
    : wrong(problem)
}

/** What a registry that has a password here asks for (RFC 7235, `WWW-Authenticate`). */
export function challengeVerdict(host: string, challenge: string | undefined): Verdict {
  if (challenge === undefined) return ok(`${host} could not be asked; its password goes along as a header`)
  if (!/^bearer\b/i.test(challenge)) return ok(`${host} takes a name and a password in a header`)
  return warning(
    `${host} has a token server, to which hosts.toml sends no password; put it into containerd's own configuration: [plugins."io.containerd.grpc.v1.cri".registry.configs."${host}".auth], with imagePullSecrets, or both`,
  )
}
