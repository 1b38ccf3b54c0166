import assert from 'node:assert/strict'
import { copyFile, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { connect } from 'node:tls'
import type { PeerView } from '../../lib/core/ops-view.ts'
import { stateCode } from '../../lib/membership/states.ts'
import { issueServingCertificate } from '../../lib/trust/certificates.ts'
import { formatKeyring } from '../../lib/trust/keyring.ts'
import { startHost } from '../network/test-host.ts'
import { builtBin } from '../support/built.ts'
import type { ClusterNode } from '../support/cluster/node-process.ts'
import { putImage } from '../support/cluster/put-image.ts'
import type { ClientTls } from '../support/cluster/registry-client.ts'
import { clusterState, holdersOf, viewOf, waitHolders } from '../support/cluster/views.ts'
import { type Cluster, createCluster } from '../support/cluster.ts'
import { eventually } from '../support/eventually.ts'
import { buildImage, type PlatformImage } from '../support/oci-image.ts'
import {
  makeTestAuthority,
  makeTestCluster,
  makeTestKeyring,
  readTestAuthority,
  type TestAuthority,
  testTerms,
  writeTestCredentials,
} from '../support/test-trust.ts'
import { rumourSender } from './gates-rumours.ts'

const imageName = 'registry.test/team/app:1'
const p2pPort = 5001

let cluster: Cluster
let members: readonly ClusterNode[]
let image: PlatformImage
let authority: TestAuthority
let stateBefore: readonly object[]

const statesNow = () => Promise.all(members.map(clusterState))

/** The cluster is as it was before anybody knocked: nobody doubted, no incarnation raised, the catalog as it was. */
async function assertUntouched(): Promise<void> {
  assert.deepEqual(await statesNow(), stateBefore)
  for (const member of members) {
    const doubts = await member.metric('starling_membership_changes_total', 'to="suspect"')
    assert.equal(doubts ?? 0, 0, `${member.name} has suspected somebody`)
  }
}

/** Waits until a member has counted a refusal at a gate and has logged one with the same reason. */
async function waitRefused(gate: string, reason: string): Promise<void> {
  await eventually(
    async () => {
      const labels = `gate="${gate}",reason="${reason}",direction="inbound"`
      const counts = await Promise.all(
        members.map((member) => member.metric('starling_p2p_refused_total', labels)),
      )
      const logged = members.some((member) =>
        member
          .logs()
          .some(
            (line) =>
              line.level === 'warn' &&
              line.gate === gate &&
              line.reason === reason &&
              line.remote !== undefined,
          ),
      )
      return logged && counts.some((count) => (count ?? 0) > 0)
    },
    { timeoutMs: 20_000, intervalMs: 100, what: `a refusal at gate ${gate} for ${reason}` },
  )
}

async function assertAlone(intruder: ClusterNode): Promise<void> {
  const others = (await intruder.ops<PeerView[]>('peers')).filter(({ self }) => !self)
  assert.deepEqual(others, [], `${intruder.name} has learned of members`)
  assert.deepEqual(await holdersOf(intruder, imageName), [])
}

/** Asks for a layer over TLS and counts every byte that comes back. */
function bytesFor(node: ClusterNode, tls: ClientTls): Promise<number> {
  const path = `/v2/team/app/blobs/${image.layers[0]?.digest}?ns=registry.test`
  const { hostname, port } = new URL(node.registryUrl)
  return new Promise((resolve) => {
    let bytes = 0
    const socket = connect({
      ...tls,
      host: hostname,
      port: Number(port),
      checkServerIdentity: () => undefined,
    })
    socket.on('data', (chunk: Buffer) => {
      bytes += chunk.length
    })
    socket.on('error', () => {})
    socket.on('close', () => resolve(bytes))
    socket.write(`GET ${path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n`)
  })
}

describe('the gates of a live cluster', () => {
  before(async () => {
    cluster = await createCluster({ nodes: 6, started: 3, bin: await builtBin() })
    members = cluster.nodes.slice(0, 3)
    authority = await readTestAuthority(cluster.trustDir)
    image = await buildImage({ seed: 'gates', layers: [{ sizeBytes: 100_000 }] })
    await putImage(cluster.node(0), imageName, image)
    await waitHolders(members, imageName, [cluster.node(0)], 10_000)
    // Counts of digests come with the summaries of the catalog, incarnations settle with the first probes.
    await eventually(
      async () => {
        const views = await Promise.all(members.map((member) => viewOf(member, cluster.node(0))))
        return views.every((view) => (view?.digests ?? 0) >= 3)
      },
      { timeoutMs: 10_000, what: 'all inventories' },
    )
    stateBefore = await statesNow()
  })

  after(() => cluster?.dispose())

  it('refuses a node with another PSK at the first gate', async () => {
    const intruder = cluster.node(3)
    await writeFile(join(intruder.trustDir, 'psk'), formatKeyring(makeTestKeyring()), { mode: 0o600 })
    intruder.launch()
    await waitRefused('psk', 'wrong-key')
    await assertAlone(intruder)
    await intruder.kill()
    await assertUntouched()
  })

  it('refuses a node with the right PSK and a certificate of another CA at the third gate', async () => {
    const intruder = cluster.node(4)
    const { name, address } = intruder
    const foreign = { ...(await makeTestAuthority()), keyring: authority.keyring }
    const set = await makeTestCluster({ authority: foreign, nodes: [{ name, addresses: [address] }] })
    const credentials = set.get(name)
    assert.ok(credentials)
    // It trusts the cluster, so that only what it shows is wrong.
    const serverCaPem = `${foreign.serverCa.certPem}\n${authority.serverCa.certPem}`
    await writeTestCredentials(intruder.trustDir, { ...credentials, serverCaPem })
    intruder.launch()
    await waitRefused('certificate', 'untrusted')
    await assertAlone(intruder)
    await intruder.kill()
    await assertUntouched()
  })

  it('does not start with a certificate that names another PeerId', async () => {
    const intruder = cluster.node(5)
    for (const file of ['serving.crt', 'serving.key']) {
      await copyFile(join(cluster.node(1).trustDir, file), join(intruder.trustDir, file))
    }
    await assert.rejects(intruder.start(), /ended by itself \(exit code [1-9]/)
    const [line] = intruder.logs().filter(({ code }) => code === 'CERTIFICATE_MISMATCH')
    assert.match(String(line?.reason), /names the PeerId 12D3\w+, but .*identity\.key is 12D3/)
  })

  it('refuses changed software that shows a certificate which names another PeerId', async (t) => {
    const names = [{ name: 'owner' }, { name: 'thief' }]
    const set = await makeTestCluster({ authority, nodes: names })
    const [owner, thief] = [set.get('owner'), set.get('thief')]
    assert.ok(owner && thief)
    const host = await startHost(t, { ...thief, serving: owner.serving })
    for (const member of members) {
      await assert.rejects(host.host.connect({ host: member.address, port: p2pPort }, 5_000), {
        code: 'ATTESTATION_REFUSED',
      })
    }
    await waitRefused('certificate', 'peer-id')
    await assertUntouched()
  })

  it('drops sealed and signed datagrams of somebody who has the PSK alone', async (t) => {
    const victim = await viewOf(cluster.node(0), cluster.node(1))
    assert.ok(victim)
    const stranger = rumourSender({ keyring: authority.keyring })
    t.after(() => stranger.close())
    const count = 200
    for (const member of members) {
      const views = await member.ops<PeerView[]>('peers')
      for (let round = 0; round < count; round++) {
        stranger.send({ host: member.address, port: p2pPort }, views, {
          state: stateCode.dead,
          raiseBy: 1 + round * 100,
        })
      }
    }
    for (const member of members) {
      await eventually(
        async () =>
          ((await member.metric('starling_datagrams_refused_total', 'reason="unattested"')) ?? 0) >= count,
      )
      const lines = member.logs().filter(({ msg }) => msg === 'datagram refused')
      assert.ok(lines.some(({ level, reason }) => level === 'warn' && reason === 'unattested'))
    }
    await assertUntouched()
  })

  const noCertificate = async (): Promise<ClientTls> => ({ ca: authority.serverCa.certPem })
  const servingCertificate = async (): Promise<ClientTls> => {
    const read = (file: string) => readFile(join(cluster.node(1).trustDir, file), 'utf8')
    return {
      ca: authority.serverCa.certPem,
      cert: await read('serving.crt'),
      key: await read('serving.key'),
    }
  }
  const servingCertificateOfTheClientCa = async (): Promise<ClientTls> => {
    const set = await makeTestCluster({ authority, nodes: [{ name: 'client' }] })
    const peerId = set.get('client')?.peerId
    assert.ok(peerId)
    const subject = { nodeName: 'client', addresses: ['127.0.0.1'], peerId }
    const { certPem, keyPem } = await issueServingCertificate(authority.clientCa, subject, testTerms())
    return { ca: authority.serverCa.certPem, cert: certPem, key: keyPem }
  }
  const foreignCertificate = async (): Promise<ClientTls> => {
    const { client } = [...(await makeTestCluster({ nodes: [{ name: 'node-1' }] })).values()][0] ?? {}
    assert.ok(client)
    return { ca: authority.serverCa.certPem, cert: client.certPem, key: client.keyPem }
  }

  for (const [what, makeTls, reason] of [
    ['no certificate', noCertificate, 'no-certificate'],
    ['the serving certificate of a node', servingCertificate, 'certificate'],
    ['a serving certificate of the client CA', servingCertificateOfTheClientCa, 'certificate'],
    ['a client certificate of another CA', foreignCertificate, 'certificate'],
  ] as const) {
    it(`gives a client with ${what} no byte`, async () => {
      const tls = await makeTls()
      const node = cluster.node(0)
      const refused = () => node.metric('starling_registry_handshakes_refused_total', `reason="${reason}"`)
      const earlier = (await refused()) ?? 0
      const sinceMs = Date.now()
      await eventually(
        async () => {
          assert.equal(await bytesFor(node, tls), 0)
          return node
            .logs()
            .some(
              (line) =>
                Date.parse(line.time) >= sinceMs &&
                line.msg === 'a client was refused by TLS' &&
                line.reason === reason,
            )
        },
        { intervalMs: 300 },
      )
      await eventually(async () => ((await refused()) ?? 0) > earlier)
      await assertUntouched()
    })
  }

  it('gives a client with a certificate of the client CA all of it', async () => {
    assert.ok((await bytesFor(cluster.node(0), await cluster.node(0).clientTls())) > 100_000)
  })

  it('believes the same rumour when a member sends it: the victim has to refute it', async (t) => {
    const views = await cluster.node(0).ops<PeerView[]>('peers')
    const victim = await viewOf(cluster.node(0), cluster.node(1))
    assert.ok(victim)
    const identityPem = await readFile(join(cluster.node(2).trustDir, 'identity.key'), 'utf8')
    const member = rumourSender({ keyring: authority.keyring, identityPem })
    t.after(() => member.close())
    const others = views.filter(({ name }) => name === cluster.node(1).name)
    await eventually(
      async () => {
        member.send({ host: cluster.node(0).address, port: p2pPort }, others, {
          state: stateCode.dead,
          raiseBy: 1,
        })
        const now = await viewOf(cluster.node(0), cluster.node(1))
        return now?.state === 'alive' && now.incarnation > victim.incarnation
      },
      { intervalMs: 200 },
    )
  })
})
