import assert from 'node:assert/strict'
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, before, beforeEach, describe, test } from 'node:test'
import { AttestationStore, type AttestationStoreOptions } from '../../../lib/app/trust/attestation-store.ts'
import { createCredentials } from '../../../lib/app/trust/files.ts'
import type { CredentialSet, KeyPair } from '../../../lib/core/credentials.ts'
import type { Attestation } from '../../../lib/core/messaging.ts'
import type { PeerId } from '../../../lib/core/peer-id.ts'
import { makeAttestation } from '../../../lib/trust/attestation.ts'
import { eventually } from '../../support/eventually.ts'
import { recordingLog, recordingMetrics } from '../../support/fake-cluster.ts'
import { makeTestAuthority, makeTestCredentials, type TestAuthority } from '../../support/test-trust.ts'
import { makeForeignCertificate } from '../../trust/foreign-pki.ts'

const dayMs = 86_400_000

let authority: TestAuthority
let self: CredentialSet
let peers: CredentialSet[]
let dataDir: string
let wallMs: number
let log: ReturnType<typeof recordingLog>
let metrics: ReturnType<typeof recordingMetrics>
let credentials: ReturnType<typeof createCredentials>
const opened: AttestationStore[] = []

before(async () => {
  authority = await makeTestAuthority()
  self = await makeTestCredentials('self', { authority })
  peers = await Promise.all(['a', 'b', 'c', 'd'].map((name) => makeTestCredentials(name, { authority })))
})
beforeEach(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'starling-attestations-'))
  wallMs = Date.now()
  log = recordingLog()
  metrics = recordingMetrics()
  credentials = createCredentials(self)
})
afterEach(async () => {
  for (const store of opened.splice(0)) await store.stop()
  await rm(dataDir, { recursive: true, force: true })
})

async function openStore(options: Partial<AttestationStoreOptions> = {}): Promise<AttestationStore> {
  const clock = { monotonicMs: () => performance.now(), wallMs: () => wallMs }
  const store = new AttestationStore({
    credentials,
    dataDir,
    clock,
    logger: log,
    metrics,
    saveDelayMs: 5,
    ...options,
  })
  opened.push(store)
  await store.start()
  return store
}

function peer(index: number): { set: CredentialSet; peerId: PeerId; attestation: Attestation } {
  const set = peers[index] as CredentialSet
  return { set, peerId: set.peerId, attestation: makeAttestation(set) }
}

function refusals(): Record<string, number> {
  return Object.fromEntries(
    [...metrics.counts].filter(([name]) => name.startsWith('starling_attestation_refused_total')),
  )
}

describe('attestation store', () => {
  test('admits what a peer of the cluster shows, and tells it once', async () => {
    const store = await openStore()
    const told: PeerId[] = []
    const end = store.onAttested(({ peerId }) => told.push(peerId))
    const { peerId, attestation } = peer(0)
    assert.equal(store.isAttested(peerId), false)
    assert.equal(store.admit(attestation.bytes)?.peerId, peerId)
    assert.equal(store.admit(attestation.bytes)?.peerId, peerId)
    assert.equal(store.admit(makeAttestation(peer(0).set).bytes)?.peerId, peerId)
    assert.equal(store.isAttested(peerId), true)
    assert.deepEqual(told, [peerId])
    end()
    store.admit(peer(1).attestation.bytes)
    assert.deepEqual(told, [peerId])
  })

  test('the node itself is attested and its own attestation is no entry', async () => {
    const store = await openStore()
    assert.equal(store.own().peerId, self.peerId)
    assert.equal(store.isAttested(self.peerId), true)
    assert.equal(store.admit(makeAttestation(self).bytes)?.peerId, self.peerId)
    assert.equal(store.get(self.peerId), store.own())
  })

  test('refusals are counted by reason and logged, a flood of them with one line', async () => {
    const store = await openStore()
    const foreign = makeAttestation(await makeTestCredentials('x'))
    for (let count = 0; count < 20; count += 1) assert.equal(store.admit(foreign.bytes), undefined)
    assert.equal(store.admit(new Uint8Array(10)), undefined)
    assert.equal(store.isAttested(foreign.peerId), false)
    assert.deepEqual(Object.values(refusals()), [20, 1])
    const lines = log.lines.filter(({ message }) => message === 'an attestation is refused')
    assert.deepEqual(
      lines.map(({ fields }) => (fields as { reason: string }).reason),
      ['untrusted', 'malformed'],
    )
  })

  test('is remembered on disk, private to the user', async () => {
    const store = await openStore()
    store.admit(peer(0).attestation.bytes)
    store.admit(peer(1).attestation.bytes)
    const path = join(dataDir, 'attestations')
    await eventually(() => stat(path))
    await store.stop()
    assert.equal((await stat(path)).mode & 0o777, 0o600)
    const again = await openStore()
    assert.deepEqual(
      [0, 1, 2].map((index) => again.isAttested(peer(index).peerId)),
      [true, true, false],
    )
    assert.deepEqual(Buffer.from(again.get(peer(0).peerId)?.bytes ?? []).length > 500, true)
    assert.deepEqual(await readdir(dataDir), ['attestations'])
  })

  test('what has changed is written at stop even before its delay', async () => {
    const store = await openStore({ saveDelayMs: 600_000 })
    store.admit(peer(0).attestation.bytes)
    await store.stop()
    assert.equal((await openStore()).isAttested(peer(0).peerId), true)
  })

  test('a damaged, truncated or impossible file is discarded with a log line', async () => {
    const path = join(dataDir, 'attestations')
    const store = await openStore()
    store.admit(peer(0).attestation.bytes)
    await store.stop()
    const whole = await readFile(path)
    const flipped = Buffer.from(whole)
    flipped[100] = (flipped[100] as number) ^ 1
    for (const bytes of [flipped, whole.subarray(0, -1), whole.subarray(0, 10), Buffer.alloc(0)]) {
      await writeFile(path, bytes)
      log = recordingLog()
      const damaged = await openStore()
      assert.equal(damaged.isAttested(peer(0).peerId), false)
      assert.match(log.lines[0]?.message ?? '', /cannot be read and are discarded/)
      await damaged.stop()
    }
    await rm(path)
    await mkdir(path)
    log = recordingLog()
    assert.equal((await openStore()).isAttested(peer(0).peerId), false)
    assert.match(JSON.stringify(log.lines[0]), /not a file/)
  })

  test('a folder that cannot be written costs one log line and nothing else', async () => {
    const store = await openStore({ dataDir: join(dataDir, 'absent') })
    store.admit(peer(0).attestation.bytes)
    await eventually(() => log.lines.some(({ message }) => /cannot be remembered/.test(message)))
    store.admit(peer(1).attestation.bytes)
    await store.stop()
    assert.equal(log.lines.filter(({ message }) => /cannot be remembered/.test(message)).length, 1)
    assert.equal(store.isAttested(peer(1).peerId), true)
  })

  test('an expired certificate makes no member, is logged once, and is not written', async () => {
    const store = await openStore()
    store.admit(peer(0).attestation.bytes)
    wallMs += 2 * dayMs
    assert.equal(store.isAttested(peer(0).peerId), false)
    assert.equal(store.get(peer(0).peerId), undefined)
    assert.equal(log.lines.filter(({ message }) => /has expired/.test(message)).length, 1)
    await store.stop()
    wallMs -= 2 * dayMs
    assert.equal(store.isAttested(peer(0).peerId), true, 'a clock that comes back brings it back')
    const again = await openStore({ clock: { monotonicMs: () => 0, wallMs: () => wallMs + 2 * dayMs } })
    assert.equal(again.get(peer(0).peerId), undefined)
  })

  describe('under a foreign PKI', () => {
    let root: KeyPair
    let serving: KeyPair
    let first: CredentialSet
    let second: CredentialSet

    beforeEach(async () => {
      root = await makeForeignCertificate({ name: 'root', ca: {} })
      serving = await makeForeignCertificate({ name: 'host', issuer: root })
      const foreign = { serverCaPem: root.certPem, serving }
      first = { ...peer(0).set, ...foreign }
      second = { ...peer(1).set, ...foreign }
      credentials = createCredentials({ ...self, serverCaPem: root.certPem })
    })

    test('a second PeerId with the same certificate key is refused while the first one lives', async () => {
      const store = await openStore()
      assert.ok(store.admit(makeAttestation(first).bytes))
      assert.equal(store.admit(makeAttestation(second).bytes), undefined)
      assert.equal(store.isAttested(second.peerId), false)
      assert.match(Object.keys(refusals()).join(), /key-in-use/)
      assert.match(JSON.stringify(log.lines), /belongs to another live PeerId/)
    })

    test('the second PeerId takes over when the first one is dead, and the first one cannot come back beside it', async () => {
      const store = await openStore()
      store.admit(makeAttestation(first).bytes)
      store.setLiveness((peerId) => peerId !== first.peerId)
      assert.ok(store.admit(makeAttestation(second).bytes))
      assert.equal(store.isAttested(first.peerId), false)
      assert.equal(store.isAttested(second.peerId), true)
      assert.equal(store.admit(makeAttestation(first).bytes), undefined)
    })

    test('nobody else may use the certificate key of this node', async () => {
      credentials = createCredentials({ ...self, serverCaPem: root.certPem, serving })
      const store = await openStore()
      store.setLiveness(() => false)
      assert.equal(store.admit(makeAttestation(first).bytes), undefined)
      assert.match(Object.keys(refusals()).join(), /key-in-use/)
    })

    test('a renewed certificate takes the place of the older one, whichever comes first', async () => {
      const renewed = {
        ...first,
        serving: await makeForeignCertificate({
          name: 'host',
          issuer: root,
          notBeforeMs: Date.now() - 60_000,
          notAfterMs: Date.now() + 60_000,
        }),
      }
      for (const order of [
        [first, renewed],
        [renewed, first],
      ]) {
        const store = await openStore()
        for (const set of order) {
          const { certificateKeyHash } = makeAttestation(set)
          assert.deepEqual(store.admit(makeAttestation(set).bytes)?.certificateKeyHash, certificateKeyHash)
        }
        const kept = store.get(first.peerId)?.certificateKeyHash
        assert.deepEqual(kept, makeAttestation(renewed).certificateKeyHash)
        await store.stop()
        await rm(join(dataDir, 'attestations'))
      }
    })
  })

  test('a node that is revoked is forgotten and refused, and stays so after a restart', async () => {
    const store = await openStore()
    const { peerId, attestation } = peer(0)
    assert.ok(store.admit(attestation.bytes))
    const revocations = [{ name: 'a', peerId, revokedMs: wallMs }]
    credentials.replace({ ...self, revocations })
    assert.equal(store.isAttested(peerId), false)
    assert.equal(store.admit(attestation.bytes), undefined)
    assert.ok(store.admit(peer(1).attestation.bytes), 'others are as welcome as before')
    assert.deepEqual(refusals(), { 'starling_attestation_refused_total reason=revoked': 1 })
    await store.stop()
    const again = await openStore()
    assert.deepEqual([again.isAttested(peerId), again.isAttested(peer(1).peerId)], [false, true])
  })

  test('a full store makes room by the dead, and refuses where all are alive', async () => {
    const store = await openStore({ maxEntries: 2 })
    store.admit(peer(0).attestation.bytes)
    store.admit(peer(1).attestation.bytes)
    assert.equal(store.admit(peer(2).attestation.bytes), undefined)
    assert.match(Object.keys(refusals()).join(), /full/)
    store.setLiveness((peerId) => peerId !== peer(1).peerId)
    assert.ok(store.admit(peer(2).attestation.bytes))
    assert.deepEqual(
      [0, 1, 2].map((index) => store.isAttested(peer(index).peerId)),
      [true, false, true],
    )
  })

  test('a new CA bundle is applied to everybody, own attestation included', async () => {
    const next = await makeTestAuthority()
    const store = await openStore()
    store.admit(peer(0).attestation.bytes)
    const moved = await makeTestCredentials('moved', { authority: next })
    assert.equal(store.admit(makeAttestation(moved).bytes), undefined)
    credentials.replace({ ...self, serverCaPem: self.serverCaPem + next.serverCa.certPem })
    assert.ok(store.admit(makeAttestation(moved).bytes))
    await eventually(() => log.lines.some(({ message }) => /checked against the new CA/.test(message)))
    assert.equal(store.isAttested(peer(0).peerId), true)

    const renewed = await makeTestCredentials('self', { authority: next })
    credentials.replace(renewed)
    await eventually(() => !store.isAttested(peer(0).peerId))
    assert.equal(store.isAttested(moved.peerId), true)
    assert.equal(store.own().peerId, renewed.peerId)
    assert.match(Object.keys(refusals()).join(), /untrusted/)
  })
})
