import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { join } from 'node:path'
import { after, afterEach, before, describe, it } from 'node:test'
import type { PeerView, StatusView } from '../../lib/core/ops-view.ts'
import {
  createJoinedNodes,
  editConfig,
  firstToken,
  type JoinedNodes,
} from '../support/cluster/joined-nodes.ts'
import type { ClusterNode } from '../support/cluster/node-process.ts'
import { putImage } from '../support/cluster/put-image.ts'
import { looseFiles, saidBy, secretsOf } from '../support/cluster/secrets.ts'
import { eventually } from '../support/eventually.ts'
import { buildImage } from '../support/oci-image.ts'
import { runToEnd } from '../support/processes.ts'
import { starlingBin } from '../support/project.ts'

const waits = { timeoutMs: 30_000, intervalMs: 100 }

const statusOf = (node: ClusterNode) => node.ops<StatusView>('status')
const hostsOf = (node: ClusterNode) =>
  readFile(join(node.dir, 'certs.d', 'registry.test', 'hosts.toml'), 'utf8').catch(() => '')

function isOpen(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host, port })
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', () => resolve(false))
  })
}

async function waitSharing(nodes: readonly ClusterNode[]): Promise<void> {
  await eventually(
    async () => {
      for (const node of nodes) {
        const peers = await node.ops<PeerView[]>('peers')
        const alive = new Set(peers.filter(({ state }) => state === 'alive').map(({ name }) => name))
        if (!nodes.every(({ name }) => alive.has(name))) return false
      }
      return true
    },
    { ...waits, what: 'nodes that all see one another' },
  )
}

/** What `starling check` says, a line each; nothing may be wrong. */
async function checked({ configFile }: ClusterNode): Promise<string> {
  const args = [starlingBin, 'check', '--config', configFile, '--output', 'json']
  const { code, stdout } = await runToEnd(process.execPath, args, { timeoutMs: 60_000 })
  const lines = JSON.parse(stdout) as { what: string; verdict: string; detail: string }[]
  const text = lines.map(({ what, verdict, detail }) => `${what}: ${verdict}: ${detail}`).join('\n')
  assert.equal(code, 0, text)
  return text
}

/** An image that only `holder` has, pulled through the others. */
async function pull(holder: ClusterNode, through: readonly ClusterNode[], seed: string): Promise<void> {
  const image = await buildImage({ seed, layers: [{ sizeBytes: 200_000 }] })
  await putImage(holder, `registry.test/app/${seed}:1`, image)
  for (const node of through) {
    const path = `/v2/app/${seed}/manifests/1?ns=registry.test`
    const manifest = await eventually(
      async () => {
        const got = await node.fetch(path)
        return got.status === 200 ? got : undefined
      },
      { ...waits, what: `${seed} through ${node.name}` },
    )
    assert.equal(manifest.digest, image.root.digest)
    const [layer] = image.layers
    const blob = await node.fetch(`/v2/app/${seed}/blobs/${layer?.digest}?ns=registry.test`)
    assert.deepEqual([blob.status, blob.digest], [200, layer?.digest])
  }
}

describe('a cluster that is joined with one token', () => {
  let all: JoinedNodes
  let servers: ClusterNode[] = []
  const agents: ClusterNode[] = []
  before(async () => {
    all = await createJoinedNodes()
  })
  after(() => all[Symbol.asyncDispose]())
  afterEach((context) => {
    if ('passed' in context && !context.passed) process.stderr.write(`${all.logTails()}\n`)
  })

  it('opens no port by default, and follows the server when it is switched on', async () => {
    const first = await all.add('server-1', { role: 'server' })
    servers = [first]
    await first.start()
    const token = await firstToken(first, 'node')
    for (const name of ['agent-1', 'agent-2', 'agent-3']) {
      agents.push(await all.add(name, { through: { server: first, token } }))
    }
    await Promise.all(agents.map((agent) => agent.start()))
    for (const node of [first, ...agents]) {
      const { sharing, registryListen, p2pListen, problems } = await statusOf(node)
      assert.equal(sharing.active, false)
      assert.match(sharing.reason, /embedded-registry is off on the servers/)
      assert.deepEqual([registryListen, p2pListen, problems], [[], [], []])
      assert.deepEqual([await isOpen(node.address, 6443), await isOpen(node.address, 5001)], [false, false])
      assert.equal((await hostsOf(node)).includes(node.registryUrl), false)
    }
    assert.equal(await isOpen(first.address, 9345), true)
    assert.match(await checked(first), /^port: ok: TCP .*:9345: this node listens$/m)
    assert.match(await checked(agents[0] ?? first), /^servers: ok: all servers take connections$/m)

    await editConfig(first, (config) => ({ ...config, 'embedded-registry': true }))
    first.reload()
    await waitSharing([first, ...agents])
    for (const node of agents) {
      assert.match((await statusOf(node)).sharing.reason, /mirrors registry\.test/)
      await eventually(async () => (await hostsOf(node)).includes(node.registryUrl), waits)
    }
    const [one, two, three] = agents as [ClusterNode, ClusterNode, ClusterNode]
    await pull(one, [two, three, first], 'first')
  })

  it('takes a second server, loses the first, and lets a fourth agent in through the second', async () => {
    const [first] = servers as [ClusterNode]
    const second = await all.add('server-2', {
      role: 'server',
      through: { server: first, token: await firstToken(first, 'server') },
      config: { 'embedded-registry': true },
    })
    servers.push(second)
    await second.start()
    await eventually(
      async () => {
        const known = await Promise.all([...agents, first].map(statusOf))
        return known.every(({ cluster }) => cluster?.servers.join() === 'server-1,server-2')
      },
      { ...waits, what: 'nodes that know both servers' },
    )
    const made = await first.cli('token', 'create', '--ttl', '1h', '--description', 'for agent-4')
    const token = made.stdout.trim()
    assert.match(token, /^K10[0-9a-f]{64}::node:[a-z0-9]{10}\.[0-9a-f]{40}$/)
    const listed = await eventually(async () => {
      const { stdout } = await second.cli('token', 'list')
      return stdout.includes('for agent-4') ? stdout : undefined
    }, waits)
    assert.equal(listed.includes(token.split('.')[1] ?? ''), false)

    await first.kill()
    const fourth = await all.add('agent-4', { through: { server: second, token } })
    await fourth.start()
    agents.push(fourth)
    await waitSharing([second, ...agents])
    await eventually(
      async () => {
        const now = await Promise.all(agents.map(statusOf))
        return now.every(({ cluster }) => cluster?.follows === `https://${second.address}:9345`)
      },
      { ...waits, what: 'agents that follow the second server' },
    )
    const [one] = agents as [ClusterNode]
    await pull(fourth, [one], 'second')
  })

  it('goes on with all servers down, also after a restart of every node', async () => {
    await Promise.all(servers.map((server) => server.kill()))
    await pull(agents[0] as ClusterNode, [agents[3] as ClusterNode], 'third')
    await Promise.all(agents.map((agent) => agent.stop()))
    await Promise.all(agents.map((agent) => agent.start()))
    await waitSharing(agents)
    await pull(agents[2] as ClusterNode, [agents[1] as ClusterNode], 'fourth')
    await eventually(
      async () =>
        (await statusOf(agents[0] as ClusterNode)).problems.some((text) => text.includes('no server')),
      waits,
    )
  })

  it('is switched off again by a server that has come back', async () => {
    await Promise.all(servers.map((server) => server.start()))
    await eventually(
      async () => (await Promise.all(agents.map(statusOf))).every(({ cluster }) => cluster?.follows),
      { ...waits, timeoutMs: 60_000, what: 'agents that follow a server again' },
    )
    await editConfig(servers[1] as ClusterNode, (config) => ({ ...config, 'embedded-registry': false }))
    for (const node of [...servers, ...agents]) {
      await eventually(async () => !(await statusOf(node)).sharing.active, {
        ...waits,
        what: `${node.name} that shares nothing`,
      })
      await eventually(async () => !(await isOpen(node.address, 6443)), waits)
      await eventually(async () => !(await hostsOf(node)).includes(node.registryUrl), waits)
    }
    const { problems } = await statusOf(servers[0] as ClusterNode)
    assert.ok(problems.some((problem) => problem.includes('make them alike')))
  })

  it('has told no secret to anybody, and keeps its files to itself', async () => {
    const everybody = [...servers, ...agents]
    const secrets = new Set<string>()
    for (const node of everybody) for (const secret of await secretsOf(node)) secrets.add(secret)
    assert.ok(secrets.size > 30, `${secrets.size} secrets`)
    assert.ok([...secrets].every((secret) => secret.length >= 32))
    const configs = everybody.map(async ({ configFile }) => {
      const { stdout } = await runToEnd(process.execPath, [
        starlingBin,
        'config',
        'show',
        '--config',
        configFile,
      ])
      assert.match(stdout, /tokenFile|embedded-registry/)
      return stdout
    })
    const said = [...(await Promise.all(everybody.map(saidBy))), ...(await Promise.all(configs))].join('\n')
    assert.ok(said.includes('audit'))
    const told = [...secrets].filter((secret) => said.includes(secret))
    assert.deepEqual(told, [])
    assert.deepEqual(await looseFiles(all.dir, secrets), [])
  })
})
