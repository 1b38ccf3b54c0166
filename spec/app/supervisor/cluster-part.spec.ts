import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import { lstat, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, it } from 'node:test'
import { ownPassword, readClusterMemory } from '../../../lib/app/supervisor/cluster-memory.ts'
import { type ClusterPart, openClusterPart } from '../../../lib/app/supervisor/cluster-part.ts'
import { mustRenewNow, renewalDueMs } from '../../../lib/app/supervisor/renewal.ts'
import { createSystemRng } from '../../../lib/app/system.ts'
import { loadCredentials } from '../../../lib/app/trust/files.ts'
import { parseConfig } from '../../../lib/config/config-file.ts'
import type { NodeConfig } from '../../../lib/core/config.ts'
import { issueServingCertificate } from '../../../lib/trust/certificates.ts'
import { eventually } from '../../support/eventually.ts'
import { type TempFolder, tempFolder } from '../../support/temp-folder.ts'
import { countingMetrics, startTestServer, type TestServer } from '../../support/test-supervisor.ts'
import { makeTestAuthority } from '../../support/test-trust.ts'

const day = 86_400_000

describe('a node that has joined', () => {
  let server: TestServer
  let folder: TempFolder
  let config: NodeConfig
  let open: ClusterPart[] = []
  const metrics = countingMetrics()
  beforeEach(async () => {
    server = await startTestServer()
    folder = await tempFolder('cp')
    const text =
      "{node: {name: server-1}, dataDir: data, p2p: {listen: '192.0.2.1:5001'}, registry: {listen: '192.0.2.1:6443'}}"
    config = parseConfig(text, join(folder.path, 'config.yaml'), { hostname: 'h', role: 'server' })
    const { makeParentFolder } = await import('../../../lib/app/trust/folder.ts')
    await makeParentFolder(config.dataDir)
  })
  afterEach(async () => {
    for (const part of open) await part.stop()
    open = []
    await server[Symbol.asyncDispose]()
    await folder[Symbol.asyncDispose]()
  })

  async function openPart(): Promise<ClusterPart> {
    const part = await openClusterPart({
      config,
      link: server.part.link,
      password: await ownPassword(config.dataDir),
      clock: server.clock,
      rng: createSystemRng(),
      log: server.log,
      metrics,
      signal: new AbortController().signal,
    })
    open.push(part)
    return part
  }
  const load = () => loadCredentials(config.trust, 'server-1', server.clock.wallMs())
  const joins = () => server.log.lines.filter(({ message }) => /has joined/.test(message)).length

  it('has all files of a trust folder, replaced as a whole and closed to others', async () => {
    const part = await openPart()
    const { peerId, serving } = await load()
    assert.ok(new X509Certificate(serving.certPem).checkIP('192.0.2.1'))
    await part.renew()
    await part.renew()
    assert.equal((await load()).peerId, peerId)
    assert.equal((await load()).serving.keyPem, serving.keyPem)
    assert.notEqual((await load()).serving.certPem, serving.certPem)
    assert.ok((await lstat(join(config.dataDir, 'trust'))).isSymbolicLink())
    assert.ok((await readdir(join(config.dataDir, 'trust.d'))).length <= 2)
    for (const file of [
      config.trust.psk,
      config.trust.identity,
      config.trust.servingKey,
      config.trust.clientKey,
    ]) {
      assert.equal((await stat(file)).mode & 0o777, 0o600)
    }
    for (const file of ['node-password', 'cluster.json']) {
      assert.equal((await stat(join(config.dataDir, file))).mode & 0o777, 0o600)
    }
  })

  it('does not join again when it is started again, nor as another node when its certificates have expired', async () => {
    await openPart()
    const { peerId } = await load()
    await openPart()
    assert.equal(joins(), 1)
    server.clock.move(100 * day)
    await assert.rejects(load(), { code: 'CERTIFICATE_EXPIRED' })
    await openPart()
    assert.equal(joins(), 2)
    assert.equal((await load()).peerId, peerId)
    await rm(config.trust.servingCert)
    await writeFile(join(config.dataDir, 'cluster.json'), 'garbage')
    await openPart()
    assert.equal(joins(), 3)
  })

  it('renews at two thirds of the life of its certificates, and says so to whoever uses them', async () => {
    const part = await openPart()
    const before = await load()
    let changes = 0
    part.onChange(async () => {
      changes += 1
      return undefined
    })
    server.clock.move(71 * day)
    await part.start()
    const renewed = await eventually(async () => {
      const now = await load()
      return now.serving.certPem === before.serving.certPem ? undefined : now
    })
    assert.equal(renewed.peerId, before.peerId)
    assert.ok(
      new X509Certificate(renewed.client.certPem).validToDate.getTime() > server.clock.wallMs() + 80 * day,
    )
    await eventually(() => changes >= 2)
    assert.equal(metrics.total('starling_certificate_renewals_total', 'renewed') >= 1, true)
  })

  it('follows what the servers say, remembers it, and acknowledges only what it works with', async () => {
    const part = await openPart()
    let problem: string | undefined = 'the file is bad'
    part.onChange(async () => problem)
    await part.start()
    const heard = async () => {
      const rows = (await server.part.admin['node-list']?.({})) as { heardAt: string | null }[]
      return rows[0]?.heardAt
    }
    await eventually(() => part.problems().some((text) => text.includes('the file is bad')))
    assert.equal(await heard(), null)
    problem = undefined
    await eventually(async () => (await heard()) !== null)
    assert.deepEqual(part.problems(), [])
    assert.equal(part.sharingAllowed.current(), false)
    const changed = new Promise<boolean>((resolve) => void part.sharingAllowed.subscribe(resolve))
    await server.part.configure(
      parseConfig('embedded-registry: true', '/x/c.yaml', { hostname: 'h', role: 'server' }),
    )
    assert.equal(await changed, true)
    await eventually(async () => (await readClusterMemory(config.dataDir)).embeddedRegistry)
    assert.equal((await readFile(join(config.dataDir, 'cluster.json'), 'utf8')).includes('PRIVATE'), false)
  })
})

describe('the time of a renewal', () => {
  it('is two thirds into the shortest life, and up to a tenth later', async () => {
    const { serverCa } = await makeTestAuthority()
    const of = async (fromMs: number, toMs: number) => {
      const terms = { notBeforeMs: fromMs, notAfterMs: toMs, serial: Buffer.alloc(16, 7) }
      const subject = { nodeName: 'n', addresses: ['192.0.2.1'], peerId: undefined }
      return (await issueServingCertificate(serverCa, subject, terms)).certPem
    }
    const base = 1_700_000_000_000
    const [short, long] = [await of(base, base + 30 * day), await of(base, base + 60 * day)]
    assert.equal(renewalDueMs([long, short], 0).dueMs, base + 20 * day)
    assert.equal(renewalDueMs([long, short], 0.5).dueMs, base + 21.5 * day)
    assert.equal(renewalDueMs([short, long], 0).endMs, base + 30 * day)
    assert.equal(mustRenewNow(short, ['192.0.2.1', '127.0.0.1']), false)
    assert.equal(mustRenewNow(short, ['192.0.2.2']), true)
  })
})
