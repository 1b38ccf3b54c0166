import assert from 'node:assert/strict'
import { mkdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { after, before, describe, it, type TestContext } from 'node:test'
import { createContainerdImageWriter } from '../../lib/containerd/image-writer.ts'
import { type Cluster, createCluster } from '../support/cluster.ts'
import {
  containerdAvailable,
  containerdVersion,
  startContainerd,
  type TestContainerd,
} from '../support/containerd.ts'
import { openCri } from '../support/cri/client.ts'
import { eventually } from '../support/eventually.ts'
import { writeDockerArchive } from '../support/oci-files.ts'
import { buildImage, type PlatformImage } from '../support/oci-image.ts'
import { runOrFail } from '../support/processes.ts'
import { programFiles } from '../support/program-files.ts'
import { starlingBin } from '../support/project.ts'
import { skipWithout } from '../support/requirements.ts'
import { compressors, drop, dropEachForm, offered, registry } from './airgap-lab.ts'

const pause = `${registry}/team/pause:1`
const [major, minor] = containerdAvailable() === undefined ? containerdVersion() : [0, 0]
/** Older ones do not tell the kubelet of pins, whatever the labels say. */
const tellsPins = major > 1 || minor >= 7

describe('three containerds without upstream', {
  skip: containerdAvailable() ?? skipWithout(...compressors),
}, () => {
  let cluster: Cluster
  const containerds: TestContainerd[] = []
  before(async () => {
    cluster = await createCluster({
      nodes: 3,
      mirrors: [registry],
      // Containerd is told of no other place, so that nobody is asked for the address of what does not exist.
      configure: (config) => ({ ...config, 'disable-default-registry-endpoint': true }),
      async store(place) {
        const certsDir = join(place.dir, 'certs.d')
        const dir = join(place.dir, 'cd')
        const containerd = await startContainerd({ dir, certsDir, cri: { sandboxImage: pause, certsDir } })
        containerds[place.index] = containerd
        return { type: 'containerd', socket: containerd.socket }
      },
    })
    for (const node of cluster.nodes)
      await runOrFail(process.execPath, [starlingBin, 'configure', '--config', node.configFile])
  })
  after(async () => {
    await cluster?.dispose()
    await Promise.all(containerds.map((containerd) => containerd.kill()))
  })

  const containerd = (index: number): TestContainerd => {
    const found = containerds[index]
    if (found === undefined) throw new Error(`there is no containerd ${index}`)
    return found
  }

  it('an archive of each kind and compression that is dropped on one is pulled by the others, by tag and by digest', async () => {
    const dropped = await dropEachForm(cluster.node(0))
    // One pulls by tag first and the other by digest, so that each way brings the bytes once.
    const pullAll = async (index: number) => {
      for (const { repository } of dropped) {
        const digest = await offered(cluster.node(index), repository)
        const name = `${registry}/team/${repository}`
        const ways = [`${name}:1`, `${name}@${digest}`]
        for (const way of index === 1 ? ways : ways.reverse()) {
          await containerd(index).pull(way)
          const [line = ''] = (await containerd(index).ctr('images', 'check', `name==${way}`))
            .split('\n')
            .filter((text) => text.startsWith(way))
          assert.match(line, new RegExp(`${digest} complete`), `${way} at ${index}`)
        }
      }
    }
    await Promise.all([pullAll(1), pullAll(2)])
    const labels = await containerd(0).ctr('images', 'ls')
    for (const { repository } of dropped) {
      assert.match(
        labels,
        new RegExp(
          `/${repository}:1 .*io\\.cri-containerd\\.image=managed.*io\\.cri-containerd\\.pinned=pinned`,
        ),
      )
    }
  })

  it('the sandbox of a pod runs from an imported image, and elsewhere from what CRI pulls of it', {
    skip: skipWithout('runc', 'containerd-shim-runc-v2', 'ldd', 'sleep'),
  }, async (t) => {
    if (await skippedWithoutContainers(t)) return
    await using sandboxes = new AsyncDisposableStack()
    const run = async (index: number): Promise<string> => {
      const cri = openCri(containerd(index).socket)
      sandboxes.defer(() => cri[Symbol.dispose]())
      const id = await cri.runSandbox(`pod-${index}`, join(cluster.node(index).dir, 'pods'))
      sandboxes.defer(() => cri.removeSandbox(id))
      assert.equal(await cri.sandboxState(id), 'SANDBOX_READY')
      assert.match(await containerd(index).ctr('tasks', 'ls'), new RegExp(`^${id} .*RUNNING`, 'm'))
      const info = JSON.parse(await containerd(index).ctr('containers', 'info', id)) as { Image: string }
      assert.equal(info.Image, pause)
      return id
    }
    const askedHere = (index: number, what: RegExp) =>
      cluster
        .node(index)
        .logs()
        .filter((line) => line.msg === 'request' && line.fromPeer === false && what.test(String(line.path)))
    await assert.rejects(run(0), /air-gap\.test/, 'nobody has the image')
    await eventually(() => askedHere(0, /team\/pause/).length, { what: 'containerd asked for it' })
    const image = await pauseImage()
    await drop(cluster.node(0), 'pause.tar', (path) => writeDockerArchive(path, pause, image), '.gz')
    const digest = await offered(cluster.node(0), 'pause')
    using cri = openCri(containerd(0).socket)
    const seen = await eventually(
      async () => (await cri.images()).find(({ repoTags }) => repoTags.includes(pause)),
      { what: 'CRI sees the image' },
    )
    assert.equal(seen.id, image.config.digest)
    if (tellsPins) assert.equal(seen.pinned, true)
    const own = await pinsAt(containerd(0), pause)
    assert.deepEqual(own, ['pinned'])
    await run(0)
    await offered(cluster.node(1), 'pause')
    await run(1)
    assert.match(await containerd(1).ctr('images', 'ls', `name==${pause}`), new RegExp(digest))
    const served = await eventually(
      () => {
        const blobs = askedHere(1, /team\/pause\/blobs/)
        return blobs.length >= 2 ? blobs : undefined
      },
      { what: 'the log of what CRI pulled' },
    )
    for (const { peers } of served) assert.match(JSON.stringify(peers), /node-1/)
    assert.deepEqual(askedHere(0, /team\/pause\/blobs/), [], 'nothing is pulled where it was imported')
  })

  /** Skips where no container can run at all: tried without CRI, and without Starling. */
  async function skippedWithoutContainers(t: TestContext): Promise<boolean> {
    const root = join(cluster.dir, 'root')
    for (const { name, mode, bytes } of await programFiles('sleep')) {
      await mkdir(dirname(join(root, name)), { recursive: true })
      await writeFile(join(root, name), bytes(), { mode: mode ?? 0o644 })
    }
    try {
      await containerd(0).ctr('run', '--rm', '--net-host', '--rootfs', root, 'probe', '/sleep', '0')
      return false
    } catch (error) {
      t.skip(`no container can run on this machine: ${String(error).split('\n').slice(0, 3).join(' ')}`)
      return true
    }
  }
})

/** An image that does nothing, as the one that Kubernetes makes sandboxes of. */
async function pauseImage(): Promise<PlatformImage> {
  const files = await programFiles('sleep')
  return buildImage({
    seed: 'pause',
    layers: [{ sizeBytes: 0, files }],
    entrypoint: ['/sleep', '300'],
  })
}

async function pinsAt({ socket }: TestContainerd, name: string): Promise<(string | undefined)[]> {
  const writer = await createContainerdImageWriter(socket, 'k8s.io')
  try {
    const found = (await writer.images()).filter((image) => image.name === name)
    return found.map(({ labels }) => labels['io.cri-containerd.pinned'])
  } finally {
    await writer.close()
  }
}
