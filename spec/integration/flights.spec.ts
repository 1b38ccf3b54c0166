import assert from 'node:assert/strict'
import { readFile, writeFile } from 'node:fs/promises'
import { after, before, describe, it } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import type { PeerView } from '../../lib/core/ops-view.ts'
import { openCri } from '../support/cri/client.ts'
import { eventually } from '../support/eventually.ts'
import { buildImage, buildIndex, hostPlatform } from '../support/oci-image.ts'
import { holdersOf, ingestedBytes, type Lab, registry, skipLab, startLab } from './containerd-lab.ts'
import {
  flightsOf,
  leaderOf,
  mib,
  newImage,
  outcome,
  rightEverywhere,
  sentByUpstream,
  sizeOf,
} from './flights-lab.ts'

describe('a new image that containerds pull at once', { skip: skipLab }, () => {
  let lab: Lab
  before(async () => {
    lab = await startLab({ nodes: 6, bytesPerSecond: 10 * mib, cri: true })
    // The first pull of a process is slow.
    const { name } = await newImage(lab, 1000)
    await Promise.all(lab.nodes.map(({ containerd }) => containerd.pull(name)))
  })
  after(() => lab?.[Symbol.asyncDispose]())

  it('comes from upstream about once, is right everywhere, and is seen in status and metrics', async () => {
    const { name, image, big } = await newImage(lab, 12 * mib)
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
    assert.equal(tree.leader, tree.tree.find(({ leads }) => leads)?.node)
    const steward = lab.nodes.find(({ starling }) => starling.name === tree.steward)
    assert.ok(steward)
    await eventually(
      async () => {
        const peers = await steward.starling.ops<readonly PeerView[]>('peers')
        return peers.some(({ flights }) =>
          flights?.some(({ digest, role }) => digest === big && role === 'follow'),
        )
      },
      { what: 'the steward shows among its peers who follows' },
    )
    assert.deepEqual([...new Set(await Promise.all(pulls))], ['pulled'])
    await rightEverywhere(lab.nodes, image)
    const size = sizeOf(image)
    assert.ok(
      sentByUpstream(lab) <= 1.3 * size,
      `${sentByUpstream(lab)} bytes of upstream for an image of ${size}`,
    )
    for (const node of lab.nodes)
      await eventually(async () => (await flightsOf(node)).every(({ role }) => role === 'steward'), {
        what: `${node.starling.name} has no part in a flight any more`,
        timeoutMs: 20_000,
      })
  })

  it('comes from upstream about once, too, when the kubelets of all nodes want it', async () => {
    const { name, image } = await newImage(lab, 8 * mib)
    const ids = await Promise.all(
      lab.nodes.map(async ({ containerd }) => {
        using cri = openCri(containerd.socket)
        return await cri.pull(name)
      }),
    )
    assert.equal(new Set(ids).size, 1)
    await rightEverywhere(lab.nodes, image)
    const size = sizeOf(image)
    assert.ok(
      sentByUpstream(lab) <= 1.3 * size,
      `${sentByUpstream(lab)} bytes of upstream for an image of ${size}`,
    )
  })

  it('goes on when the node that leads is killed', async () => {
    const { name, image, big } = await newImage(lab, 16 * mib)
    const pulls = new Map(lab.nodes.map((node) => [node, outcome(node.containerd.pull(name))]))
    const leader = await leaderOf(big, lab.nodes)
    await Promise.all([leader.starling.kill(), leader.containerd.kill()])
    const others = lab.nodes.filter((node) => node !== leader)
    for (const node of others) assert.equal(await pulls.get(node), 'pulled')
    await pulls.get(leader)
    await rightEverywhere(others, image)
    await leader.containerd.restart()
    await leader.starling.start()
    await lab.cluster.waitWhole()
    assert.ok(sentByUpstream(lab) <= 2.3 * sizeOf(image), `${sentByUpstream(lab)} bytes came from upstream`)
  })

  it('goes on when a follower stands still and upstream pauses, and a node that starts only then joins in', async () => {
    const { name, image, big } = await newImage(lab, 20 * mib)
    const [late, ...early] = lab.nodes
    assert.ok(late)
    await late.starling.stop()
    const pulls = early.map(({ containerd }) => outcome(containerd.pull(name)))
    const leader = await leaderOf(big, early)
    const stopped = early.find((node) => node !== leader)?.starling.pid
    assert.ok(stopped)
    process.kill(stopped, 'SIGSTOP')
    lab.proxy.hold()
    await Promise.all([late.starling.start(), delay(3000)])
    const latePull = outcome(late.containerd.pull(name))
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

  for (const status of [429, 401]) {
    it(`goes on when upstream answers ${status} to who leads, and to nobody else`, async () => {
      const { name, image, big } = await newImage(lab, 12 * mib)
      const pulls = new Map(lab.nodes.map((node) => [node, outcome(node.containerd.pull(name))]))
      const leader = await leaderOf(big, lab.nodes)
      await lab.answerWith(leader, status)
      const others = lab.nodes.filter((node) => node !== leader)
      for (const node of others) assert.equal(await pulls.get(node), 'pulled')
      await pulls.get(leader)
      lab.admit(leader)
      await rightEverywhere(others, image)
      assert.ok(sentByUpstream(lab) <= 2.3 * sizeOf(image), `${sentByUpstream(lab)} bytes came from upstream`)
    })
  }

  it('goes on when the pull of who leads is cancelled', async () => {
    const { name, image, big } = await newImage(lab, 16 * mib)
    const pulls = new Map(lab.nodes.map((node) => [node, node.containerd.startPull(name)]))
    const outcomes = new Map([...pulls].map(([node, { done }]) => [node, outcome(done)]))
    const leader = await leaderOf(big, lab.nodes)
    await pulls.get(leader)?.cancel()
    const others = lab.nodes.filter((node) => node !== leader)
    for (const node of others) assert.equal(await outcomes.get(node), 'pulled')
    assert.notEqual(await outcomes.get(leader), 'pulled')
    await rightEverywhere(others, image)
    assert.ok(sentByUpstream(lab) <= 2.3 * sizeOf(image), `${sentByUpstream(lab)} bytes came from upstream`)
  })

  it('goes on when the Starling of its steward is killed, also on the node whose mirror that was', async () => {
    const { name, image, big } = await newImage(lab, 16 * mib)
    const pulls = lab.nodes.map(({ containerd }) => outcome(containerd.pull(name)))
    await leaderOf(big, lab.nodes)
    const steward = await eventually(
      async () => {
        for (const node of lab.nodes) {
          const flights = await flightsOf(node)
          if (flights.some(({ digest, role }) => digest === big && role === 'steward')) return node
        }
        return undefined
      },
      { what: 'somebody is steward' },
    )
    await steward.starling.kill()
    assert.deepEqual([...new Set(await Promise.all(pulls))], ['pulled'])
    await rightEverywhere(lab.nodes, image)
    await steward.starling.start()
    await lab.cluster.waitWhole()
    assert.ok(sentByUpstream(lab) <= 3.3 * sizeOf(image), `${sentByUpstream(lab)} bytes came from upstream`)
  })

  it('of which another one at the same moment has a layer, too, goes on when a follower gives its pull up', async () => {
    const layers = [{ sizeBytes: 12 * mib }]
    const images = [2 * mib, 2 * mib + 1000].map((sizeBytes) =>
      buildImage({ seed: 'two at once', layers: [...layers, { sizeBytes }] }),
    )
    const [one, two] = await Promise.all(images)
    const shared = one?.layers[0]?.digest
    assert.ok(one && two && shared)
    assert.equal(two.layers[0]?.digest, shared)
    await lab.push('team/two:1', one)
    await lab.push('team/two:2', two)
    lab.upstream.forget()
    const name = (tag: number): string => `${registry}/team/two:${tag}`
    const [both, ...others] = lab.nodes
    assert.ok(both)
    const pulls = [1, 2].map((tag) => outcome(both.containerd.pull(name(tag))))
    const single = others.map((node, index) => {
      const pull = node.containerd.startPull(name(1 + (index % 2)))
      return { node, image: index % 2 === 0 ? one : two, pull, how: outcome(pull.done) }
    })
    const given = await eventually(
      async () => {
        for (const { node, pull, how } of single) {
          const flights = await flightsOf(node)
          if (!flights.some(({ digest, role }) => digest === shared && role === 'follow')) continue
          if ((await ingestedBytes(node.containerd, shared)) > 0) return { pull, how }
        }
        return undefined
      },
      { what: 'somebody follows', timeoutMs: 60_000 },
    )
    await given.pull.cancel()
    assert.notEqual(await given.how, 'pulled')
    assert.deepEqual(await Promise.all(pulls), ['pulled', 'pulled'])
    await rightEverywhere([both], one)
    await rightEverywhere([both], two)
    for (const { node, image, pull, how } of single) {
      if (pull === given.pull) continue
      assert.equal(await how, 'pulled')
      await rightEverywhere([node], image)
    }
    const size = sizeOf(one) + 2 * mib
    assert.ok(sentByUpstream(lab) <= 2.3 * size, `${sentByUpstream(lab)} bytes of upstream for ${size}`)
  })

  it('of two platforms comes for each, and what both have in common about once', async () => {
    const shared = [{ sizeBytes: 8 * mib }, { sizeBytes: 3000 }]
    const host = hostPlatform()
    const other = { os: 'linux', architecture: host.architecture === 'arm64' ? 'amd64' : 'arm64' }
    const own = await buildImage({ seed: 'platforms', layers: shared })
    const foreign = await buildImage({
      seed: 'platforms',
      layers: [...shared, { sizeBytes: 2 * mib }],
      platform: other,
    })
    const index = await buildIndex([
      { image: own, platform: host },
      { image: foreign, platform: other },
    ])
    await lab.push('team/platforms:1', index)
    lab.upstream.forget()
    const name = `${registry}/team/platforms:1`
    const [odd, ...rest] = lab.nodes
    assert.ok(odd)
    const words = ['--platform', `linux/${other.architecture}`]
    const pulls = rest.map(({ containerd }) => outcome(containerd.pull(name)))
    pulls.push(outcome(odd.containerd.pull(name, ...words)))
    assert.deepEqual([...new Set(await Promise.all(pulls))], ['pulled'])
    await rightEverywhere(rest, own)
    await rightEverywhere([odd], foreign)
    const size = sizeOf(index)
    assert.ok(sentByUpstream(lab) <= 1.5 * size, `${sentByUpstream(lab)} bytes of upstream for ${size}`)
  })

  it('of which upstream gives a wrong byte fails once, is offered by nobody, and comes right the next time', async () => {
    const { name, image, big } = await newImage(lab, 12 * mib)
    const file = lab.upstream.blobFile(big)
    const right = await readFile(file)
    const wrong = Buffer.from(right)
    wrong.write('spoiled', 5 * mib)
    await writeFile(file, wrong)
    const pulls = lab.nodes.map(({ containerd }) => outcome(containerd.pull(name)))
    const leader = await leaderOf(big, lab.nodes)
    for (const pull of pulls) assert.match(await pull, /unexpected commit digest|failed commit/)
    await writeFile(file, right)
    assert.deepEqual(await holdersOf(leader.starling, big), [])
    // Containerd keeps what failed its check until the lease of that pull has been collected, and checks it again till then.
    for (const { containerd } of lab.nodes)
      await eventually(async () => (await ingestedBytes(containerd, big)) === 0, {
        what: 'nothing is left of it',
      })
    const again = lab.nodes.map(({ containerd }) => outcome(containerd.pull(name)))
    assert.notEqual(await leaderOf(big, lab.nodes), leader, 'who led with wrong bytes does not lead again')
    assert.deepEqual([...new Set(await Promise.all(again))], ['pulled'])
    await rightEverywhere(lab.nodes, image)
  })
})
