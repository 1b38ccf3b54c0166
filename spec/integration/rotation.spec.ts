import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import { readFile, realpath } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import type { RotationRow } from '../../lib/app/supervisor/rotation-admin.ts'
import type { PeerView } from '../../lib/core/ops-view.ts'
import { createOpsClient } from '../../lib/ops/client.ts'
import { createSupervisorClient } from '../../lib/supervisor/client.ts'
import { createJoinedNodes, firstToken, type JoinedNodes } from '../support/cluster/joined-nodes.ts'
import type { ClusterNode } from '../support/cluster/node-process.ts'
import { putImage } from '../support/cluster/put-image.ts'
import { fetchRegistry } from '../support/cluster/registry-client.ts'
import { revocationTimes } from '../support/cluster/revocation-times.ts'
import { waitHolders, waitState } from '../support/cluster/views.ts'
import { eventually } from '../support/eventually.ts'
import { buildImage, type PlatformImage } from '../support/oci-image.ts'
import { runToEnd } from '../support/processes.ts'
import { starlingBin } from '../support/project.ts'

const imageName = 'registry.test/team/app:1'
/** Of a quiet machine: 3 s at 20 nodes (npm run bench -- revocation). */
const longestRevocationMs = 6_000
const waits = { timeoutMs: 60_000, intervalMs: 100 }

let nodes: JoinedNodes
let server: ClusterNode
let agents: readonly ClusterNode[]
let token: string
let image: PlatformImage

/** A file of the trust folder as it is now; the folder is replaced whole. */
async function trustFiles(node: ClusterNode, ...names: readonly string[]): Promise<string[]> {
  const folder = await realpath(node.trustDir)
  return Promise.all(names.map((name) => readFile(join(folder, name), 'utf8')))
}

async function keyringOf(node: ClusterNode): Promise<string[]> {
  const [psk = ''] = await trustFiles(node, 'psk')
  return psk.trim().split('\n')
}

const admin = <T>(action: string, body?: object) => createOpsClient(server.opsSocket).admin<T>(action, body)
const rotationNow = () => admin<RotationRow | null>('rotation-show')

async function starling(...args: readonly string[]): Promise<{ stdout: string; stderr: string }> {
  const run = await runToEnd(process.execPath, [starlingBin, ...args, '--socket', server.opsSocket], {
    timeoutMs: 120_000,
  })
  assert.equal(run.code, 0, run.stderr)
  return run
}

async function statusText(node: ClusterNode): Promise<string> {
  return (await node.cli('status')).stdout
}

/** Pulls a layer through one node from another, over and over, as a client with the certificate of that node. */
function keepPulling(node: ClusterNode): { stop(): Promise<{ pulls: number; failures: string[] }> } {
  let isOver = false
  let pulls = 0
  const failures: string[] = []
  const layer = image.layers[0]!.digest
  const once = async (): Promise<void> => {
    const [ca, cert, key] = await trustFiles(node, 'server-ca.crt', 'client.crt', 'client.key')
    const url = new URL(`/v2/team/app/blobs/${layer}?ns=registry.test`, node.registryUrl)
    const answer = await fetchRegistry(url, { ca: ca!, cert: cert!, key: key! })
    pulls += 1
    if (answer.status !== 200 || answer.digest !== layer) {
      failures.push(`${answer.status} ${answer.body?.toString().slice(0, 300) ?? ''}`)
    }
  }
  const loop = (async () => {
    while (!isOver) {
      await once().catch((error) => failures.push(String(error)))
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  })()
  return {
    async stop() {
      isOver = true
      await loop
      return { pulls, failures }
    },
  }
}

/** Runs `work` under constant pulls: none may fail, and nobody may be taken for dead. */
async function underPulls(work: () => Promise<void>): Promise<void> {
  const pulling = keepPulling(agents[1]!)
  try {
    await work()
  } finally {
    const { pulls, failures } = await pulling.stop()
    assert.deepEqual(failures, [], nodes.logTails())
    assert.ok(pulls > 5, `${pulls} pulls`)
  }
  for (const node of [server, ...agents]) {
    const deaths = await node.metric('starling_membership_changes_total', 'to="dead"')
    assert.equal(deaths ?? 0, 0, `${node.name} took somebody for dead`)
  }
}

describe('the keys of a cluster that works', () => {
  before(async () => {
    nodes = await createJoinedNodes()
    server = await nodes.add('server-1', { role: 'server', config: { 'embedded-registry': true } })
    await server.start()
    token = await firstToken(server, 'node')
    const added: ClusterNode[] = []
    for (const name of ['a', 'b', 'c', 'd']) added.push(await nodes.add(name, { through: { server, token } }))
    agents = added
    await Promise.all(agents.map((node) => node.start()))
    await waitState([server, ...agents], agents, 'alive', 60_000)
    image = await buildImage({ seed: 'rotation', layers: [{ sizeBytes: 2_000_000 }] })
    await putImage(agents[0]!, imageName, image)
    await waitHolders([server, ...agents], imageName, [agents[0]!], 30_000)
  })
  after(() => nodes?.[Symbol.asyncDispose]())

  it('the PSK is exchanged in stages, without a failed pull or a member that is given up', async () => {
    const old = await keyringOf(agents[0]!)
    await underPulls(async () => {
      const { stdout, stderr } = await starling('trust', 'rotate-psk')
      assert.match(stderr, /all learn the new one/)
      assert.match(stderr, /all use the new one/)
      assert.match(stdout, /has ended/)
      await eventually(async () => {
        const rings = await Promise.all([server, ...agents].map(keyringOf))
        return rings.every((ring) => ring.length === 1 && ring[0] === rings[0]?.[0] && ring[0] !== old[0])
      }, waits)
    })
  })

  it('both CAs are exchanged, every node has new certificates, and an old token still lets a node in', async () => {
    const [before = ''] = await trustFiles(agents[0]!, 'server-ca.crt')
    await underPulls(async () => {
      await starling('trust', 'rotate-ca')
      await eventually(async () => {
        const bundles = await Promise.all(
          [server, ...agents].map((node) => trustFiles(node, 'server-ca.crt')),
        )
        return bundles.every(([bundle]) => bundle === bundles[0]?.[0] && bundle !== before)
      }, waits)
    })
    for (const node of agents) {
      const [ca = '', serving = '', clientCa = '', client = ''] = await trustFiles(
        node,
        'server-ca.crt',
        'serving.crt',
        'client-ca.crt',
        'client.crt',
      )
      assert.ok(new X509Certificate(serving).verify(new X509Certificate(ca).publicKey), node.name)
      assert.ok(new X509Certificate(client).verify(new X509Certificate(clientCa).publicKey), node.name)
    }
    for (const node of agents) {
      const checks = node.logs().filter(({ msg }) => msg === 'attestations are checked against the new CA')
      const kept = checks.at(-1)?.peers
      assert.equal(kept, agents.length, `${node.name} has proofs of new certificates before the old CA goes`)
    }
    const late = await nodes.add('late', { through: { server, token } })
    await late.start(60_000)
    await waitState([late], agents, 'alive', 60_000)
    await late.stop()
    // A server that has just started would wait for it.
    await starling('node', 'forget', late.name)
  })

  it('a rotation survives the death of its server, and ends by itself when that is back', async () => {
    const old = await keyringOf(agents[0]!)
    await starling('trust', 'rotate-psk', '--no-wait')
    await server.kill()
    await server.start(60_000)
    await eventually(async () => (await rotationNow()) === null, waits)
    await eventually(async () => {
      const rings = await Promise.all(agents.map(keyringOf))
      return rings.every((ring) => ring.length === 1 && ring[0] !== old[0])
    }, waits)
    await waitState(agents, [server], 'alive', 60_000)
  })

  it('a rotation that a node does not follow waits for it by name, and can be broken off', async () => {
    const old = await keyringOf(agents[0]!)
    const silent = agents[3]!
    silent.pause()
    try {
      await starling('trust', 'rotate-psk', '--no-wait')
      await eventually(async () => (await rotationNow())?.waitingFor.join() === silent.name, waits)
      await assert.rejects(admin('rotate-ca'), { code: 'ROTATION_REFUSED' })
      assert.match(await statusText(agents[0]!), /^rotation: +pre-shared key: all learn the new one$/m)
      assert.match(await statusText(server), /^servers: +server-1; .*embedded-registry is on$/m)
      await starling('trust', 'rotate-psk', '--abort')
    } finally {
      silent.resume()
    }
    await eventually(async () => {
      const rings = await Promise.all(agents.map(keyringOf))
      return rings.every((ring) => ring.join() === old.join())
    }, waits)
  })

  it('a node that is revoked is out on all others within moments, and cannot renew what it has', async () => {
    const out = agents[3]!
    const others = [server, ...agents.slice(0, 3)]
    await waitState(others, [out], 'alive', 60_000)
    const times = await revocationTimes(server, out, others)
    process.stdout.write(`# revoked on ${others.length} nodes after ${times.join(', ')} ms\n`)
    assert.ok(Math.max(...times) < longestRevocationMs, `${times}`)
    await waitState(others, [out], 'left', 20_000)
    const { stdout: list } = await starling('node', 'list')
    assert.match(list, new RegExp(`^${out.name} .* 20\\d\\d-\\S+Z$`, 'm'))
    await eventually(async () => (await statusText(agents[0]!)).match(/^revoked: +d$/m), waits)
    assert.match(await statusText(server), /^rotation: +none$/m)
    const client = createSupervisorClient({
      url: `https://${server.address}:9345`,
      anchors: await trustFiles(out, 'server-ca.crt'),
      client: await trustFiles(out, 'client.crt', 'client.key').then(([certPem = '', keyPem = '']) => ({
        certPem,
        keyPem,
      })),
    })
    for (const path of ['/v1/watch', '/metrics', '/healthz']) {
      await assert.rejects(client.call('GET', path), { code: 'JOIN_REFUSED', reason: 'revoked' }, path)
    }
    client.close()
    const views = await agents[0]!.ops<PeerView[]>('peers')
    assert.notEqual(views.find(({ name }) => name === out.name)?.state, 'alive')
  })
})
