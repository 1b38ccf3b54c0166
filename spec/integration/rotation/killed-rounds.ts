import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import { readFile, realpath } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { RotationRow } from '../../../lib/app/supervisor/rotation-admin.ts'
import { StarlingError } from '../../../lib/core/errors.ts'
import type { Rng } from '../../../lib/core/ports.ts'
import { createOpsClient } from '../../../lib/ops/client.ts'
import { seededRng } from '../../sim/random.ts'
import { createJoinedNodes, firstToken, type JoinedNodes } from '../../support/cluster/joined-nodes.ts'
import type { ClusterNode } from '../../support/cluster/node-process.ts'
import { waitState } from '../../support/cluster/views.ts'
import { eventually } from '../../support/eventually.ts'

const waits = { timeoutMs: 90_000, intervalMs: 100 }
/** A rotation takes two stages of at least 1.5 s; a victim dies somewhere within them, or just after. */
const longestLifeMs = 4_000

export type Kind = 'psk' | 'ca'

/** What is done after the kill. */
export type Remedy = 'wait' | 'continue' | 'abort'

export interface RoundNodes {
  readonly nodes: JoinedNodes
  readonly servers: readonly ClusterNode[]
  readonly agents: readonly ClusterNode[]
}

export interface KilledRound {
  readonly kind: Kind
  readonly remedy: Remedy
  readonly conductor: ClusterNode
  readonly victim: ClusterNode
  readonly lifeMs: number
}

const pick = <T>(rng: Rng, from: readonly T[]): T => from[Math.floor(rng.next() * from.length)] as T

/** Two servers and these agents, which all see one another. */
export async function startForRounds(names: readonly string[]): Promise<RoundNodes> {
  await using undo = new AsyncDisposableStack()
  const nodes = undo.use(await createJoinedNodes())
  const first = await nodes.add('server-1', { role: 'server', config: { 'embedded-registry': true } })
  await first.start()
  const [token, serverToken] = await Promise.all([firstToken(first, 'node'), firstToken(first, 'server')])
  const second = await nodes.add('server-2', {
    role: 'server',
    through: { server: first, token: serverToken },
    config: { 'embedded-registry': true },
  })
  const agents: ClusterNode[] = []
  for (const name of names) agents.push(await nodes.add(name, { through: { server: first, token } }))
  await Promise.all([second, ...agents].map((node) => node.start(60_000)))
  await waitState(nodes.nodes, nodes.nodes, 'alive', waits.timeoutMs)
  undo.move()
  return { nodes, servers: [first, second], agents }
}

/** A round as the seed says; servers die as often as all agents together. */
export function drawRound(seed: number, kind: Kind, { servers, agents }: RoundNodes): KilledRound {
  const rng = seededRng(seed)
  return {
    kind,
    conductor: pick(rng, servers),
    victim: pick(rng, rng.next() < 0.5 ? servers : agents),
    lifeMs: Math.round(rng.next() * longestLifeMs),
    remedy: pick<Remedy>(rng, ['wait', 'continue', 'abort']),
  }
}

export function roundText({ kind, remedy, conductor, victim, lifeMs }: KilledRound): string {
  return `${kind} by ${conductor.name}, ${victim.name} dies after ${lifeMs} ms, then ${remedy}`
}

const admin = <T>(server: ClusterNode, action: string) => createOpsClient(server.opsSocket).admin<T>(action)
const rotationOn = (server: ClusterNode) => admin<RotationRow | null>(server, 'rotation-show')

/** One rotation in which a node dies by SIGKILL. Afterwards all nodes run and agree. */
export async function runKilledRound(round: KilledRound, cluster: RoundNodes): Promise<void> {
  try {
    await runRound(round, cluster)
  } catch (error) {
    throw new Error(`${roundText(round)}\n${cluster.nodes.logTails()}`, { cause: error })
  }
}

async function runRound(round: KilledRound, { servers, agents }: RoundNodes): Promise<void> {
  const { kind, remedy, conductor, victim, lifeMs } = round
  await admin(conductor, `rotate-${kind}`)
  await delay(lifeMs)
  await victim.kill()
  const survivor = servers.find((server) => server !== victim) as ClusterNode
  if (remedy !== 'wait') await actOn(survivor, remedy === 'abort' ? 'rotation-abort' : 'rotation-continue')
  await victim.start(60_000)
  await assertAgreed(servers, agents)
}

/** The rotation may have ended before, or not have reached this server. */
async function actOn(server: ClusterNode, action: string): Promise<void> {
  try {
    await admin(server, action)
  } catch (error) {
    if (!(error instanceof StarlingError) || error.code !== 'ROTATION_REFUSED') throw error
  }
}

async function trustFile(node: ClusterNode, name: string): Promise<string> {
  return readFile(join(await realpath(node.trustDir), name), 'utf8')
}

/** No rotation is under way; every node has one key and one CA, the same, with certificates of it, and sees all others. */
export async function assertAgreed(
  servers: readonly ClusterNode[],
  agents: readonly ClusterNode[],
): Promise<void> {
  const all = [...servers, ...agents]
  await eventually(
    async () => {
      const rows = await Promise.all(servers.map(rotationOn))
      assert.deepEqual(
        rows,
        rows.map(() => null),
      )
      return true
    },
    { ...waits, what: 'the end of the rotation on all servers' },
  )
  await eventually(
    async () => {
      for (const file of ['psk', 'server-ca.crt', 'client-ca.crt']) {
        const texts = await Promise.all(all.map((node) => trustFile(node, file)))
        assert.equal(new Set(texts).size, 1, `${file} differs`)
      }
      assert.equal((await trustFile(servers[0] as ClusterNode, 'psk')).trim().split('\n').length, 1)
      for (const node of all) {
        for (const kind of ['server', 'client']) {
          const bundle = await trustFile(node, `${kind}-ca.crt`)
          assert.equal(bundle.split('BEGIN CERTIFICATE').length, 2, `${node.name} accepts one ${kind} CA`)
          const leaf = await trustFile(node, kind === 'server' ? 'serving.crt' : 'client.crt')
          const ca = new X509Certificate(bundle)
          assert.ok(new X509Certificate(leaf).verify(ca.publicKey), `${node.name}: ${kind}`)
        }
      }
      return true
    },
    { ...waits, what: 'the same keys and CAs on all nodes' },
  )
  await waitState(all, all, 'alive', waits.timeoutMs)
}
