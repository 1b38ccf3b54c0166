import assert from 'node:assert/strict'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { it } from 'node:test'
import { createJoinedNodes, firstToken } from '../support/cluster/joined-nodes.ts'
import { containerdAvailable, startContainerd, type TestContainerd } from '../support/containerd.ts'
import { eventually } from '../support/eventually.ts'
import { writeOciArchive } from '../support/oci-files.ts'
import { buildImage } from '../support/oci-image.ts'
import { wrongBlobs } from './containerd-lab.ts'

const name = 'made-up.test/joined/app:1'
const waits = { timeoutMs: 40_000, intervalMs: 250 }

it('three agents with a containerd each, a URL and a token: from empty folders to a pull', {
  skip: containerdAvailable() ?? false,
}, async () => {
  await using all = await createJoinedNodes()
  const containerds: TestContainerd[] = []
  await using undo = new AsyncDisposableStack()
  undo.defer(async () => {
    await Promise.all(containerds.map((containerd) => containerd.kill()))
  })
  try {
    // It mirrors nothing itself, so it takes no part in sharing.
    const config = { 'embedded-registry': true }
    const server = await all.add('server-1', { role: 'server', mirrors: [], config })
    await server.start()
    const token = await firstToken(server, 'node')
    for (const agent of ['agent-1', 'agent-2', 'agent-3']) {
      const dir = join(all.dir, agent)
      const containerd = await startContainerd({ dir: join(dir, 'cd'), certsDir: join(dir, 'certs.d') })
      containerds.push(containerd)
      await all.add(agent, {
        through: { server, token },
        store: { type: 'containerd', socket: containerd.socket },
        mirrors: ['made-up.test'],
      })
    }
    const agents = all.nodes.slice(1)
    await Promise.all(agents.map((agent) => agent.start()))

    const image = await buildImage({ seed: 'joined', layers: [{ sizeBytes: 3_000_000, gzip: true }] })
    const archive = join(all.dir, 'app.tar')
    await writeOciArchive(archive, [{ name, image }])
    const [one, two, three] = containerds as [TestContainerd, TestContainerd, TestContainerd]
    await one.ctr('images', 'import', '--no-unpack', '--all-platforms', archive)
    await rm(archive)
    for (const puller of [two, three]) {
      await eventually(() => puller.pull(name), { ...waits, what: 'a pull through the mirror' })
      assert.deepEqual(await wrongBlobs(puller, image), [])
    }
    const peers = await agents[0]?.ops<{ name: string }[]>('peers')
    assert.deepEqual(
      peers?.map((peer) => peer.name),
      ['agent-1', 'agent-2', 'agent-3'],
    )
  } catch (error) {
    process.stderr.write(`${all.logTails()}\n`)
    throw error
  }
})
