import type { RegistriesPlan } from '../../config/registries-file.ts'
import type { NodeConfig } from '../../core/config.ts'
import type { CredentialSet } from '../../core/credentials.ts'
import { describeError } from '../../core/errors.ts'
import { configureHosts, hostsWarningsOf } from '../config/configure.ts'
import { isJoinedConfig, readSharedRegistries } from '../config/shared-registries.ts'
import { certificatesOf } from '../node-status.ts'
import { loadCredentials } from '../trust/files.ts'
import { readContainerdConfig } from './containerd-config.ts'
import { containerdConfigFiles, firstReadable, readTemplates } from './containerd-files.ts'
import { containerdLines } from './containerd-verdicts.ts'
import { contentFacts } from './content-facts.ts'
import { type CheckLine, ok, type Verdict, warning, wrong } from './line.ts'
import { askNode, bootstrapFacts, type NodeQuestions, peerFacts, portFacts, udpFacts } from './node-facts.ts'
import { challengeOf } from './probes.ts'
import { isAbsent, serverFacts, serverPortFacts } from './server-facts.ts'
import {
  bootstrapVerdict,
  certificatesVerdict,
  challengeVerdict,
  clockVerdict,
  contentVerdict,
  peersVerdict,
  portVerdict,
  serversVerdict,
  udpVerdict,
} from './verdicts.ts'

export interface CheckOptions {
  /** Containerd's configuration; undefined: it is looked for in the usual places. */
  readonly containerdConfig?: string | undefined
  readonly nowMs: number
  readonly ops: NodeQuestions
}

const maxAskedRegistries = 16

/** Looks at what a node needs to share; changes nothing. Its own probes wait three seconds each at most. */
export async function checkNode(config: NodeConfig, options: CheckOptions): Promise<CheckLine[]> {
  const lines: CheckLine[] = []
  const look = async (what: string, act: () => Promise<Verdict | readonly CheckLine[]>) => {
    const found = await act().catch((error: unknown) => wrong(describeError(error)))
    if ('verdict' in found) lines.push({ what, ...found })
    else lines.push(...found)
  }
  let credentials: CredentialSet | undefined
  await look('certificates', async () => {
    if (isJoinedConfig(config) && (await isAbsent(config.trust.psk)))
      return warning('there are none yet: the node makes them, or gets them from a server, when it starts')
    credentials = await loadCredentials(config.trust, config.node.name, options.nowMs)
    return certificatesVerdict(certificatesOf(credentials), options.nowMs)
  })
  await look('node', async () => nodeLines(config, credentials, options.ops))
  await look('servers', async () => {
    const servers = await serverFacts(config)
    return servers === undefined ? [] : serversVerdict(servers)
  })
  await look('content', async () => contentVerdict(config.store.type, ...(await contentFacts(config.store))))
  const registries = await readSharedRegistries(config).catch((error: unknown) => {
    lines.push({ what: 'registries.yaml', ...wrong(describeError(error)) })
    return undefined
  })
  if (registries !== undefined) {
    await look('hosts.toml', () => hostsVerdict(config, registries))
    await look('registries.yaml', async () =>
      [...registries.warnings, ...hostsWarningsOf(config, registries)].map((problem) => ({
        what: 'registries.yaml',
        ...warning(problem.format()),
      })),
    )
    await look('passwords', () => passwordLines(registries))
  }
  const { store } = config
  if (store.type === 'containerd') {
    await look('containerd', () => containerdCheck(store.socket, config.certsDir, options.containerdConfig))
  }
  return lines
}

async function nodeLines(
  config: NodeConfig,
  credentials: CredentialSet | undefined,
  ops: NodeQuestions,
): Promise<CheckLine[]> {
  const asked = await askNode(ops)
  const node = typeof asked === 'string' ? undefined : asked
  const facts = [...(await portFacts(config, node)), ...(await serverPortFacts(config, node))]
  const ports = facts.map((port) => ({ what: 'port', ...portVerdict(port) }))
  if (node === undefined) {
    // A node that has joined learns from servers where the others are.
    const needsNobody = config.bootstrap.length === 0 && isJoinedConfig(config)
    const others = needsNobody ? undefined : bootstrapVerdict(await bootstrapFacts(config))
    return [
      { what: 'node', ...warning(String(asked)) },
      ...ports,
      ...(others === undefined ? [] : [{ what: 'other nodes', ...others }]),
    ]
  }
  const { active, reason } = node.status.sharing
  const state = active ? ok(`it runs and ${reason}`) : warning(reason)
  if (!active) return [{ what: 'node', ...state }, ...ports]
  const peers = await peerFacts(node.peers, credentials)
  return [
    { what: 'node', ...state },
    ...ports,
    { what: 'other nodes over TCP', ...peersVerdict(peers, config.bootstrap.length > 0) },
    { what: 'other nodes over UDP', ...udpVerdict(udpFacts(config, node)) },
    { what: 'clock', ...clockVerdict(peers) },
  ]
}

async function hostsVerdict(config: NodeConfig, registries: RegistriesPlan): Promise<Verdict> {
  const { changes, refused, certsDir } = await configureHosts({ config, registries, dryRun: true })
  const [first] = refused
  if (first !== undefined) return wrong(`${first.folder}: ${first.reason}; ${first.hint}`)
  if (changes.length === 0) return ok(`${certsDir} is in step`)
  const files = changes.length === 1 ? '1 file' : `${changes.length} files`
  return wrong(`${certsDir} is not in step, ${files} would change; run starling configure`)
}

async function passwordLines(registries: RegistriesPlan): Promise<CheckLine[]> {
  const hosts = Object.entries(registries.hosts).filter(
    ([host, { authorization }]) => host !== '*' && authorization !== undefined,
  )
  const lines: CheckLine[] = []
  for (const [host] of hosts.slice(0, maxAskedRegistries)) {
    const reached = host === 'docker.io' ? 'registry-1.docker.io' : host
    lines.push({ what: 'password', ...challengeVerdict(host, await challengeOf(reached)) })
  }
  return lines
}

async function containerdCheck(
  socket: string,
  certsDir: string,
  given: string | undefined,
): Promise<Verdict | readonly CheckLine[]> {
  const candidates = containerdConfigFiles(socket)
  const file = given ?? (await firstReadable(candidates))
  if (file === undefined) {
    return warning(
      `its configuration is in none of ${candidates.join(', ')}; name it with --containerd-config`,
    )
  }
  return containerdLines(await readContainerdConfig(file), await readTemplates(file), certsDir)
}
