import assert from 'node:assert/strict'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { StarlingError } from '../../lib/core/errors.ts'
import type { QuarantineView } from '../../lib/core/ops-view.ts'
import { createOpsServer, type OpsServer } from '../../lib/ops/server.ts'
import { fakeNodeView, testDigest, testPeerId } from '../ops/fake-node-view.ts'
import { recordingLog } from '../ops/recording-log.ts'
import { type TempFolder, tempFolder } from '../support/temp-folder.ts'
import { runCli } from './run-cli.ts'

const quarantine: QuarantineView = {
  name: 'node-9',
  peerId: testPeerId,
  since: '2026-01-01T00:00:00.000Z',
  until: '2026-01-01T02:00:00.000Z',
  digest: testDigest,
  reason: 'its copy is\u001b[2J wrong',
  times: 2,
}

const flight = { registry: 'docker.io', digest: testDigest, sizeBytes: 2 * 2 ** 20 }

describe('starling peers and the quarantine', () => {
  let folder: TempFolder
  let socket = ''
  let server: OpsServer
  const released: unknown[] = []

  before(async () => {
    folder = await tempFolder('peers')
    socket = join(folder.path, 'ops.sock')
    const view = fakeNodeView()
    const [self] = view.peers()
    if (self === undefined) throw new Error('the view has no peers')
    server = createOpsServer({
      view: {
        ...view,
        peers: () => [
          { ...self, flights: [{ ...flight, role: 'lead', parent: null, reachedBytes: 2 ** 20 }] },
          {
            ...self,
            name: 'node-9',
            self: false,
            quarantine,
            flights: [{ ...flight, role: 'follow', parent: 'node-1', reachedBytes: 0 }],
          },
        ],
      },
      admin: {
        async 'peers-release'(body) {
          released.push(body)
          if ((body as { peer: string }).peer === 'node-9') return quarantine
          throw new StarlingError('NOT_FOUND', 'node-7 is not in quarantine on this node')
        },
      },
      socket,
      log: recordingLog(),
    })
    await server.start()
  })
  after(async () => {
    await server.stop()
    await folder[Symbol.asyncDispose]()
  })

  it('say who is in it, since when, until when, why and for which blob', async () => {
    const { code, stdout } = await runCli('peers', '--socket', socket)
    assert.equal(code, 0)
    assert.match(stdout, /^node-9 +alive, quarantined /m)
    const line = stdout.split('\n').find((text) => text.startsWith('node-9 is in quarantine')) ?? ''
    for (const part of [quarantine.since, quarantine.until, testDigest, '2 times by now', 'its copy is']) {
      assert.ok(line.includes(part), part)
    }
    assert.ok(!line.includes('\u001b'))
    const json = await runCli('peers', '--socket', socket, '--output', 'json')
    assert.equal(JSON.parse(json.stdout)[1].quarantine.digest, testDigest)
  })

  it('say who gets which blob in flight from whom, and how far it is', async () => {
    const { stdout } = await runCli('peers', '--socket', socket)
    assert.match(stdout, new RegExp(`^node-1 gets ${testDigest} for others: 1 MiB of 2 MiB$`, 'm'))
    assert.match(stdout, new RegExp(`^node-9 gets ${testDigest} from node-1: 0 B of 2 MiB$`, 'm'))
    const json = await runCli('peers', '--socket', socket, '--output', 'json')
    assert.equal(JSON.parse(json.stdout)[1].flights[0].parent, 'node-1')
  })

  it('release takes a peer out, wherever the socket is named', async () => {
    for (const args of [
      ['peers', 'release', 'node-9', '--socket', socket],
      ['peers', '--socket', socket, 'release', 'node-9'],
    ]) {
      const { code, stdout } = await runCli(...args)
      assert.deepEqual([code, stdout], [0, 'node-9: released\n'])
    }
    assert.deepEqual(released, [{ peer: 'node-9' }, { peer: 'node-9' }])
  })

  it('release says where there is nothing to release, and what is missing', async () => {
    const unknown = await runCli('peers', 'release', 'node-7', '--socket', socket)
    assert.equal(unknown.code, 1)
    assert.match(unknown.stderr, /^starling: node-7 is not in quarantine on this node$/m)
    assert.equal((await runCli('peers', 'release', '--socket', socket)).code, 2)
  })
})
