import assert from 'node:assert/strict'
import { readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, it } from 'node:test'
import { createQuarantine, type QuarantineService } from '../../../lib/app/quarantine/service.ts'
import type { Digest } from '../../../lib/core/digest.ts'
import type { PeerRpc } from '../../../lib/core/messaging.ts'
import type { PeerId } from '../../../lib/core/peer-id.ts'
import { eventually } from '../../support/eventually.ts'
import { fakeDigest, fakeMember, recordingLog, recordingMetrics } from '../../support/fake-cluster.ts'
import { type TempFolder, tempFolder } from '../../support/temp-folder.ts'

const digest = fakeDigest('blob')
const idOf = (name: string): PeerId => fakeMember(name).record.peerId
const names = new Map(['here', 'there', 'third'].map((name) => [idOf(name), name]))
const hourMs = 3_600_000

/** Nodes whose requests reach one another, as long as they are up. */
class Wire {
  readonly #answers = new Map<PeerId, Parameters<PeerRpc['handle']>[1]>()
  readonly down = new Set<PeerId>()

  rpcOf(self: PeerId): PeerRpc {
    return {
      request: async (peer, _protocol, frame) => {
        const answer = this.#answers.get(peer)
        if (answer === undefined || this.down.has(peer)) throw new Error('unreachable')
        return Array.fromAsync(answer(self, frame))
      },
      handle: (_protocol, answer) => void this.#answers.set(self, answer),
    }
  }
}

interface Node {
  readonly quarantine: QuarantineService
  readonly log: ReturnType<typeof recordingLog>
  readonly metrics: ReturnType<typeof recordingMetrics>
  readonly doubted: Digest[]
  readonly changes: string[]
  connected(name: string): void
}

describe('the quarantine of peers that sent wrong bytes', () => {
  let folder: TempFolder
  let wire: Wire
  let wallMs: number
  const running: QuarantineService[] = []

  beforeEach(async () => {
    folder = await tempFolder('quarantine')
    wire = new Wire()
    wallMs = Date.now()
  })
  afterEach(async () => {
    for (const service of running.splice(0)) await service.stop()
    await folder[Symbol.asyncDispose]()
  })

  async function start(name: string, dataDir = folder.path, lengthMs = hourMs): Promise<Node> {
    const log = recordingLog()
    const metrics = recordingMetrics()
    const doubted: Digest[] = []
    const changes: string[] = []
    const listeners: ((peerId: PeerId, state: 'open' | 'closed') => void)[] = []
    const quarantine = createQuarantine({
      dataDir,
      lengthMs: () => lengthMs,
      rpc: wire.rpcOf(idOf(name)),
      connector: {
        onConnection(listener) {
          listeners.push(listener)
          return () => undefined
        },
      },
      nameOf: (peerId) => names.get(peerId) ?? peerId,
      doubt: (one) => doubted.push(one) > 0,
      changed: (peerId, state) => void changes.push(`${names.get(peerId)} ${state}`),
      clock: { wallMs: () => wallMs, monotonicMs: () => performance.now() },
      log,
      metrics,
    })
    await quarantine.start()
    running.push(quarantine)
    const connected = (peer: string): void => {
      for (const listener of listeners) listener(idOf(peer), 'open')
    }
    return { quarantine, log, metrics, doubted, changes, connected }
  }

  it('keeps a peer out, names it in log and metrics, and holds over a restart in a file of mode 0600', async () => {
    const here = await start('here')
    here.quarantine.condemn(idOf('there'), { digest, evidence: 'digest' })
    here.quarantine.condemn(idOf('there'), { digest, evidence: 'copy' })
    assert.equal(here.quarantine.has(idOf('there')), true)
    assert.deepEqual(here.changes, ['there in'])
    assert.equal(here.metrics.counts.get('starling_quarantined_peer peer=there'), 1)
    assert.equal(here.metrics.counts.get('starling_quarantines_total evidence=digest'), 1)
    assert.match(JSON.stringify(here.log.lines), /"peer":"there".*a whole body/)
    await here.quarantine.stop()
    assert.equal((await stat(join(folder.path, 'quarantine'))).mode & 0o777, 0o600)
    const again = await start('here')
    assert.equal(again.quarantine.has(idOf('there')), true)
    assert.equal(again.quarantine.current()[0]?.name, 'there')
  })

  it('tells the peer, which names its accuser and hashes the blob once; nobody else is kept out by that', async () => {
    const there = await start('there', join(folder.path, 'none'))
    const here = await start('here')
    here.quarantine.condemn(idOf('there'), { digest, evidence: 'copy' })
    await eventually(() => there.quarantine.accusations().length === 1, { what: 'the notice' })
    here.connected('there')
    here.connected('there')
    const [accusation] = there.quarantine.accusations()
    assert.deepEqual([accusation?.name, accusation?.digest], ['here', digest])
    assert.deepEqual(there.doubted, [digest])
    assert.deepEqual(there.quarantine.current(), [])
    assert.deepEqual(there.changes, [])
    here.quarantine.release('there')
    await eventually(() => there.quarantine.accusations().length === 0, { what: 'the second notice' })
  })

  it('tells a peer that was away as soon as it is connected', async () => {
    const there = await start('there', join(folder.path, 'none'))
    wire.down.add(idOf('there'))
    const here = await start('here')
    here.quarantine.condemn(idOf('there'), { digest, evidence: 'map' })
    wire.down.delete(idOf('there'))
    here.connected('there')
    await eventually(() => there.quarantine.accusations().length === 1, { what: 'the notice' })
  })

  it('ends by an operator, by name or PeerId, and by time', async () => {
    const here = await start('here')
    for (const name of ['there', 'third']) here.quarantine.condemn(idOf(name), { digest, evidence: 'copy' })
    assert.throws(() => here.quarantine.release('nobody'), { code: 'NOT_FOUND' })
    assert.equal(here.quarantine.release(idOf('there')).name, 'there')
    assert.equal(here.quarantine.has(idOf('there')), false)
    wallMs += hourMs
    assert.equal(here.quarantine.has(idOf('third')), false)
    assert.deepEqual(here.quarantine.current(), [])
  })

  it('says when the time of a peer is over', async () => {
    const here = await start('here', folder.path, 150)
    here.quarantine.condemn(idOf('there'), { digest, evidence: 'copy' })
    const end = wallMs + 150
    const timer = setInterval(() => {
      wallMs = Math.max(wallMs, end)
    }, 10)
    await eventually(() => here.changes.includes('there out'), { what: 'the end' })
    clearInterval(timer)
    assert.equal(here.metrics.counts.get('starling_quarantine_releases_total by=time'), 1)
  })

  for (const [what, content] of [
    ['cut short', '{"version":1,"peers":[{"peerId":"x"'],
    ['of another version', '{"version":9,"peers":[]}'],
    ['with a peer that is none', '{"version":1,"peers":[{"peerId":"../x","name":"a"}]}'],
    ['larger than it may be', 'x'.repeat(2 ** 20 + 1)],
  ] as const) {
    it(`discards a file that is ${what}, with a warning`, async () => {
      await writeFile(join(folder.path, 'quarantine'), content)
      const { quarantine, log } = await start('here')
      assert.deepEqual(quarantine.current(), [])
      assert.ok(log.lines.some(({ level, message }) => level === 'warn' && message.includes('discarded')))
      quarantine.condemn(idOf('there'), { digest, evidence: 'copy' })
      await quarantine.stop()
      assert.match(await readFile(join(folder.path, 'quarantine'), 'utf8'), /"name":"there"/)
    })
  }
})
