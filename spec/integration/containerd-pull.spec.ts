import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import type { StatusView } from '../../lib/core/ops-view.ts'
import { eventually } from '../support/eventually.ts'
import { buildImage, type PlatformImage } from '../support/oci-image.ts'
import { type Lab, madeUp, registry, skipLab, startLab, waitHolders, wrongBlobs } from './containerd-lab.ts'

describe('images between three containerds', { skip: skipLab }, () => {
  let lab: Lab
  before(async () => {
    lab = await startLab()
  })
  after(() => lab?.[Symbol.asyncDispose]())

  const imageOf = (seed: string): Promise<PlatformImage> =>
    buildImage({
      seed,
      layers: [{ sizeBytes: 3_000_000 }, { sizeBytes: 500_000, gzip: true }, { sizeBytes: 1 }],
    })

  it('an image that one pulled from upstream is pulled by tag and by digest when upstream is gone', async () => {
    const images = [await imageOf('first'), await imageOf('second')] as const
    const names = [`${registry}/team/app:1`, `${registry}/team/other:1`] as const
    await lab.push('team/app:1', images[0])
    await lab.push('team/other:1', images[1])
    lab.upstream.forget()
    for (const name of names) await lab.node(0).containerd.pull(name)
    const fromUpstream = lab.upstream.requests().reduce((sum, request) => sum + request.bytes, 0)
    assert.ok(fromUpstream > 7_000_000, `${fromUpstream} bytes came from upstream`)
    for (const { starling } of lab.nodes) {
      for (const name of names) await waitHolders(starling, name, ['node-1'])
    }

    await lab.upstream.stop()
    const byDigest = names.map((name, i) => `${name.replace(/:1$/, '')}@${images[i]?.root.digest}`)
    await lab.node(1).containerd.pull(names[0])
    await lab.node(2).containerd.pull(byDigest[0] ?? '')
    await lab.node(1).containerd.pull(byDigest[1] ?? '')
    await lab.node(2).containerd.pull(names[1])
    for (const { containerd } of lab.nodes) {
      for (const image of images) assert.deepEqual(await wrongBlobs(containerd, image), [])
    }
    const reasons = lab
      .node(1)
      .starling.logs()
      .filter((line) => line.msg === 'request')
    assert.ok(reasons.some((line) => /^from node-1 /.test(String(line.reason))))
    for (const { starling } of lab.nodes)
      await waitHolders(starling, names[0], ['node-1', 'node-2', 'node-3'])
  })

  it('an image that one imported under a made-up registry name is pulled by the others', async () => {
    const [name, image] = [`${madeUp}/team/app:2`, await imageOf('imported')] as const
    await lab.import(2, name, image)
    await waitHolders(lab.node(0).starling, name, ['node-3'])
    await lab.node(0).containerd.pull(name)
    assert.deepEqual(await wrongBlobs(lab.node(0).containerd, image), [])
    assert.ok(!lab.proxy.asked.some((target) => target.startsWith(madeUp)))
  })

  for (const how of ['restart', 'kill'] as const) {
    const what = how === 'kill' ? 'was ended by SIGKILL' : 'is restarted'
    it(`a node comes back to its containerd that ${what}, and offers old and new images`, async () => {
      const { containerd, starling } = lab.node(2)
      const store = async () => (await starling.ops<StatusView>('status')).store.state
      const pid = starling.pid
      if (how === 'kill') await containerd.kill()
      else await containerd.stop()
      await eventually(async () => (await store()) === 'waiting', { what: 'the node notices it' })
      await containerd.restart()
      await eventually(async () => (await store()) === 'connected', { what: 'the node is back at it' })
      assert.equal(starling.pid, pid)
      const [name, image] = [`${madeUp}/team/new:${how}`, await imageOf(how)] as const
      await lab.import(2, name, image)
      const viewer = lab.node(0).starling
      await waitHolders(viewer, name, ['node-3'])
      await waitHolders(viewer, `${madeUp}/team/app:2`, ['node-1', 'node-3'])
      await lab.node(0).containerd.pull(name)
      assert.deepEqual(await wrongBlobs(lab.node(0).containerd, image), [])
    })
  }

  it('an image that was removed is no longer offered, its tag and its blobs, after seconds', async () => {
    const [name, image] = [`${madeUp}/team/gone:1`, await imageOf('gone')] as const
    const { containerd, starling: viewer } = lab.node(1)
    await lab.import(0, name, image)
    for (const digest of image.blobs.keys()) await waitHolders(viewer, digest, ['node-1'])
    const other = `${madeUp}/team/gone:2`
    await lab.node(0).containerd.ctr('images', 'tag', name, other)
    await waitHolders(viewer, other, ['node-1'])
    await containerd.pull(name)
    await waitHolders(viewer, name, ['node-1', 'node-2'])

    // Its blobs stay as long as the other name is there.
    await lab.node(0).containerd.ctr('images', 'rm', '--sync', other)
    await waitHolders(viewer, other, [], 5000)
    await waitHolders(viewer, name, ['node-1', 'node-2'])
    await lab.node(0).containerd.ctr('images', 'rm', '--sync', name)
    await waitHolders(viewer, name, ['node-2'], 5000)
    await containerd.ctr('images', 'rm', '--sync', name)
    for (const { starling } of lab.nodes) {
      await waitHolders(starling, name, [], 5000)
      for (const digest of image.blobs.keys()) await waitHolders(starling, digest, [], 5000)
    }
    const { stdout } = await viewer.cli('where', name)
    assert.match(stdout, /no live node announces/)
    // The mirror says 404 at once, and the registry that does not exist is all that is left.
    await assert.rejects(containerd.pull(name), /StatusNotFound.*\n.*trying next host.*\n.*Forbidden/)
  })
})
