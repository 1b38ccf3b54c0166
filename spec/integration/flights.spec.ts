import assert from 'node:assert/strict'
import { open, readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { type Digest, digestHex } from '../../lib/core/digest.ts'
import type { FlightView, StatusView } from '../../lib/core/ops-view.ts'
import { eventually } from '../support/eventually.ts'
import { buildImage, type PlatformImage } from '../support/oci-image.ts'
import {
  ingestedBytes,
  type Lab,
  type LabNode,
  registry,
  skipLab,
  startLab,
  wrongBlobs,
} from './containerd-lab.ts'

const mib = 2 ** 20

describe('a new image that containerds pull at once', { skip: skipLab }, () => {
  let lab: Lab
  let images = 0
  before(async () => {
    lab = await startLab({ nodes: 5, bytesPerSecond: 10 * mib })
  })
  after(() => lab?.[Symbol.asyncDispose]())

  /** Pushes an image that nobody has; its first layer is the large one. */
  async function newImage(sizeBytes: number): Promise<{ name: string; image: PlatformImage; big: Digest }> {
    const target = `team/new:${++images}`
    const layers = [{ sizeBytes }, { sizeBytes: 2 * mib }, { sizeBytes: 2000 }]
    const image = await buildImage({ seed: target, layers })
    await lab.push(target, image)
    lab.upstream.forget()
    const big = image.layers[0]?.digest
    assert.ok(big)
    return { name: `${registry}/${target}`, image, big }
  }

  function sizeOf(image: PlatformImage): number {
    return [...image.blobs.values()].reduce((sum, { descriptor }) => sum + descriptor.size, 0)
  }

  function sentByUpstream(): number {
    return lab.upstream.requests().reduce((sum, { bytes }) => sum + bytes, 0)
  }

  async function flightsOf({ starling }: LabNode): Promise<readonly FlightView[]> {
    return (await starling.ops<StatusView>('status')).flights ?? []
  }

  /** The node that fetches the blob from upstream, once it has some of it. */
  function leaderOf(digest: Digest, nodes: readonly LabNode[] = lab.nodes): Promise<LabNode> {
    return eventually(
      async () => {
        for (const node of nodes) {
          if ((await ingestedBytes(node.containerd, digest)) < 2 * mib) continue
          const flights = await flightsOf(node)
          if (flights.some((flight) => flight.digest === digest && flight.role === 'lead')) return node
        }
        return undefined
      },
      { what: 'somebody leads' },
    )
  }

  const outcome = (pull: Promise<unknown>): Promise<string> =>
    pull.then(
      () => 'pulled',
      (error: unknown) => String(error),
    )

  async function rightEverywhere(nodes: readonly LabNode[], image: PlatformImage): Promise<void> {
    for (const { containerd } of nodes) assert.deepEqual(await wrongBlobs(containerd, image), [])
  }

  it('comes from upstream about once, is right everywhere, and is seen in status and metrics', async () => {
    const { name, image, big } = await newImage(12 * mib)
    const pulls = lab.nodes.map(({ containerd }) => outcome(containerd.pull(name)))
    const tree = await eventually(
      async () => {
        const flights = (await Promise.all(lab.nodes.map(flightsOf))).flat()
        return flights.find(({ digest, role, participants }) => {
          return digest === big && role === 'steward' && participants === lab.nodes.length
        })
      },
      { what: 'a steward that knows all', timeoutMs: 20_000 },
    )
    assert.ok(tree.tree.some(({ leads }) => leads))
    assert.ok(tree.tree.some(({ parent }) => parent !== null))
    assert.deepEqual([...new Set(await Promise.all(pulls))], ['pulled'])
    await rightEverywhere(lab.nodes, image)
    const size = sizeOf(image)
    assert.ok(sentByUpstream() <= 1.3 * size, `${sentByUpstream()} bytes of upstream for an image of ${size}`)
    for (const node of lab.nodes)
      await eventually(async () => (await flightsOf(node)).every(({ role }) => role === 'steward'), {
        what: `${node.starling.name} has no part in a flight any more`,
        timeoutMs: 20_000,
      })
  })

  it('goes on when the node that leads is killed', async () => {
    const { name, image, big } = await newImage(16 * mib)
    const pulls = new Map(lab.nodes.map((node) => [node, outcome(node.containerd.pull(name))]))
    const leader = await leaderOf(big)
    await Promise.all([leader.starling.kill(), leader.containerd.kill()])
    const others = lab.nodes.filter((node) => node !== leader)
    for (const node of others) assert.equal(await pulls.get(node), 'pulled')
    await pulls.get(leader)
    await rightEverywhere(others, image)
    await leader.containerd.restart()
    await leader.starling.start()
    await lab.cluster.waitWhole()
    assert.ok(sentByUpstream() <= 2.3 * sizeOf(image), `${sentByUpstream()} bytes came from upstream`)
  })

  it('goes on when a follower stands still and upstream pauses, and a late one joins in', async () => {
    const { name, image, big } = await newImage(20 * mib)
    const [late, ...early] = lab.nodes
    assert.ok(late)
    const pulls = early.map(({ containerd }) => outcome(containerd.pull(name)))
    const leader = await leaderOf(big, early)
    const stopped = early.find((node) => node !== leader)?.starling.pid
    assert.ok(stopped)
    process.kill(stopped, 'SIGSTOP')
    lab.proxy.hold()
    const latePull = outcome(late.containerd.pull(name))
    await delay(3000)
    lab.proxy.release()
    const others = early.filter(({ starling }) => starling.pid !== stopped)
    for (const [index, node] of early.entries()) {
      if (others.includes(node)) assert.equal(await pulls[index], 'pulled')
    }
    assert.equal(await latePull, 'pulled')
    process.kill(stopped, 'SIGCONT')
    for (const pull of pulls) assert.equal(await pull, 'pulled')
    await rightEverywhere(lab.nodes, image)
    await lab.cluster.waitWhole()
  })

  it('goes on when the pull of the leader is refused by upstream in the middle', async () => {
    const { name, image, big } = await newImage(16 * mib)
    const pulls = new Map(lab.nodes.map((node) => [node, outcome(node.containerd.pull(name))]))
    const leader = await leaderOf(big)
    lab.proxy.refuse(leader.starling.name)
    for (const node of lab.nodes) if (node !== leader) assert.equal(await pulls.get(node), 'pulled')
    await pulls.get(leader)
    await rightEverywhere(
      lab.nodes.filter((node) => node !== leader),
      image,
    )
    lab.proxy.admit(leader.starling.name)
  })

  it('of which a wrong byte was given on fails its check once, is not offered, and comes right the next time', async () => {
    const { name, image, big } = await newImage(16 * mib)
    const pulls = new Map(lab.nodes.map((node) => [node, outcome(node.containerd.pull(name))]))
    const leader = await leaderOf(big)
    await spoilIngest(leader, big)
    const outcomes = await Promise.all(pulls.values())
    // What the leader committed was right as it came; its file is what we spoiled.
    const failed = lab.nodes.filter((node, index) => node !== leader && outcomes[index] !== 'pulled')
    assert.ok(failed.length > 0, 'some followers had got the wrong bytes')
    for (const { containerd } of failed) await containerd.pull(name)
    await rightEverywhere(failed, image)
  })

  /** Changes one byte of what a containerd has downloaded, behind its back. */
  async function spoilIngest({ containerd }: LabNode, digest: Digest): Promise<void> {
    const ingests = join(containerd.contentPath, 'ingest')
    for (const folder of await readdir(ingests)) {
      const ref = await readFile(join(ingests, folder, 'ref'), 'utf8').catch(() => '')
      if (!ref.endsWith(digestHex(digest))) continue
      await using file = await open(join(ingests, folder, 'data'), 'r+')
      for (let at = 0; at < 16; at++) await file.write(Buffer.from('spoiled'), 0, 7, at * mib)
    }
  }
})
