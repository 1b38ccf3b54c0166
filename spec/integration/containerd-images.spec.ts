import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import type { Digest } from '../../lib/core/digest.ts'
import type { WhereView } from '../../lib/core/ops-view.ts'
import { eventually } from '../support/eventually.ts'
import { buildArtifact, buildImage, buildIndex, hostPlatform, without } from '../support/oci-image.ts'
import { type Lab, madeUp, registry, skipLab, startLab, waitHolders, wrongBlobs } from './containerd-lab.ts'

const emptyDigest: Digest =
  'sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855' as Digest

describe('images of every shape between containerds', { skip: skipLab }, () => {
  let lab: Lab
  before(async () => {
    lab = await startLab()
  })
  after(() => lab?.[Symbol.asyncDispose]())

  /** What upstream was asked for, and gave, since it was last told to forget. */
  const givenByUpstream = () =>
    lab.upstream
      .requests()
      .filter((request) => request.method === 'GET' && request.status < 300)
      .map((request) => request.path.split('?')[0]?.split('/').at(-1))

  it('of a multi-platform image the platform that is there is shared, and the other one comes from upstream', async () => {
    const own = hostPlatform()
    const foreign = { os: 'linux', architecture: own.architecture === 'arm64' ? 'amd64' : 'arm64' }
    const [mine, other] = await Promise.all(
      [own, foreign].map((platform) =>
        buildImage({ seed: platform.architecture, platform, layers: [{ sizeBytes: 400_000 }] }),
      ),
    )
    assert.ok(mine !== undefined && other !== undefined)
    const index = await buildIndex([
      { image: mine, platform: own },
      { image: other, platform: foreign },
    ])
    const name = `${registry}/team/multi:1`
    await lab.push('team/multi:1', index)
    await lab.node(0).containerd.pull(name)
    await waitHolders(lab.node(1).starling, name, ['node-1'])
    await waitHolders(lab.node(1).starling, mine.root.digest, ['node-1'])
    await waitHolders(lab.node(1).starling, other.root.digest, [])

    lab.upstream.forget()
    await lab.node(1).containerd.pull(name)
    assert.deepEqual(lab.upstream.requests(), [])
    assert.deepEqual(
      (await wrongBlobs(lab.node(1).containerd, index)).sort(),
      [...other.blobs.keys()].sort(),
      'all but the other platform is there',
    )

    await lab.node(2).containerd.pull(name, '--platform', `linux/${foreign.architecture}`)
    assert.deepEqual(givenByUpstream().sort(), [...other.blobs.keys()].sort())
    const expected = without(index, mine.blobs.keys())
    assert.deepEqual(await wrongBlobs(lab.node(2).containerd, expected), [])
    await waitHolders(lab.node(1).starling, other.root.digest, ['node-3'])
  })

  // Containerd imports such a blob but refuses to fetch it, so the requests are our own.
  it('a blob without a byte is shared like any other', async () => {
    const name = `${madeUp}/team/artifact:1`
    const artifact = await buildArtifact({ seed: 'empty', sizes: [0, 1000] })
    await lab.import(0, name, artifact)
    await waitHolders(lab.node(1).starling, emptyDigest, ['node-1'])
    for (const { starling } of lab.nodes) {
      const path = `/v2/team/artifact/blobs/${emptyDigest}?ns=${madeUp}`
      for (const method of ['GET', 'HEAD']) {
        const answer = await starling.fetch(path, { method })
        assert.equal(answer.status, 200, `${method} at ${starling.name}`)
        assert.equal(answer.headers['content-length'], '0')
        assert.equal(answer.headers['docker-content-digest'], emptyDigest)
        assert.equal(answer.digest, emptyDigest)
        assert.equal(answer.end, 'complete')
      }
      const ranged = await starling.fetch(path, { range: '0-' })
      assert.equal(ranged.status, 416)
      assert.equal(ranged.headers['content-range'], 'bytes */0')
    }
  })

  it('a tag that moved is left to upstream while the nodes disagree, and is shared again when they agree', async () => {
    const name = `${registry}/team/moving:1`
    const path = `/v2/team/moving/manifests/1?ns=${registry}`
    const [old, next] = await Promise.all(
      ['old', 'next'].map((seed) => buildImage({ seed, layers: [{ sizeBytes: 300_000 }] })),
    )
    assert.ok(old !== undefined && next !== undefined)
    await lab.push('team/moving:1', old)
    await lab.node(0).containerd.pull(name)
    await waitHolders(lab.node(1).starling, name, ['node-1'])
    await lab.node(1).containerd.pull(name)
    const third = lab.node(2).starling
    await waitHolders(third, name, ['node-1', 'node-2'])
    await lab.push('team/moving:1', next)

    // Without hosts.toml, as on a machine that asks the registry itself: all mirrors still agree on the old digest.
    await lab.node(0).containerd.ctr('images', 'pull', '--snapshotter', 'native', name)
    const sides = await eventually(
      async () => {
        const { disputed } = await third.ops<WhereView>(`where/${name}`)
        return disputed.length === 2 && disputed.map((side) => side.digest).sort()
      },
      { what: 'node-3 hears of the new digest' },
    )
    assert.deepEqual(sides, [old.root.digest, next.root.digest].sort())
    const refused = await third.fetch(path)
    assert.equal(refused.status, 404)
    const [error] = JSON.parse(String(refused.body)).errors
    assert.equal(error.code, 'MANIFEST_UNKNOWN')
    assert.equal(error.detail.reason, 'tag-disputed')
    assert.match(error.message, /the nodes disagree on .*moving:1 .* so upstream decides/)
    assert.equal(
      (await third.fetch(path, { method: 'HEAD' })).headers['starling-reason'],
      error.message.slice(10),
    )
    assert.equal((await third.cli('where', name)).stdout.includes(next.root.digest), true)

    lab.upstream.forget()
    await lab.node(2).containerd.pull(name)
    assert.deepEqual(await wrongBlobs(lab.node(2).containerd, next), [])
    assert.deepEqual(givenByUpstream(), [], 'upstream said only where the tag points to')
    await lab.node(1).containerd.pull(name)
    for (const { starling } of lab.nodes) {
      await waitHolders(starling, name, ['node-1', 'node-2', 'node-3'])
      const answer = await starling.fetch(path, { method: 'HEAD' })
      assert.equal(answer.headers['docker-content-digest'], next.root.digest)
    }
  })
})
