import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import { chmod, mkdtemp, readdir, readFile, rm, stat, unlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { loadCredentials } from '../../../lib/app/trust/files.ts'
import { initTrust, parseNodeArgument } from '../../../lib/app/trust/init.ts'
import type { TrustFiles } from '../../../lib/core/config.ts'
import { StarlingError } from '../../../lib/core/errors.ts'
import { checkAttestation, makeAttestation } from '../../../lib/trust/attestation.ts'

let root: string
before(async () => {
  root = await mkdtemp(join(tmpdir(), 'starling-init-'))
})
after(() => rm(root, { recursive: true, force: true }))

function filesOf(dir: string): TrustFiles {
  return {
    serverCa: join(dir, 'server-ca.crt'),
    clientCa: join(dir, 'client-ca.crt'),
    servingCert: join(dir, 'serving.crt'),
    servingKey: join(dir, 'serving.key'),
    clientCert: join(dir, 'client.crt'),
    clientKey: join(dir, 'client.key'),
    psk: join(dir, 'psk'),
    identity: join(dir, 'identity.key'),
  }
}

async function treeOf(dir: string): Promise<Map<string, string>> {
  const names = (await readdir(dir, { recursive: true, withFileTypes: true })).filter((entry) =>
    entry.isFile(),
  )
  const paths = names.map((entry) => join(entry.parentPath, entry.name)).sort()
  return new Map(await Promise.all(paths.map(async (path) => [path, await readFile(path, 'utf8')] as const)))
}

const refused = (code: string, pattern: RegExp) => (error: unknown) => {
  assert.ok(error instanceof StarlingError, String(error))
  assert.equal(error.code, code, error.format())
  assert.match(error.format(), pattern)
  return true
}

describe('trust init', () => {
  test('makes a set for each node that loads, attests and names its addresses', async () => {
    const dir = join(root, 'whole')
    const addresses = ['10.1.2.3', 'fd00::7', 'one.example.com']
    const result = await initTrust({
      dir,
      nodes: [
        { name: 'one', addresses },
        { name: 'two', addresses: [] },
      ],
    })
    assert.equal(result.authority, 'created')
    assert.deepEqual(
      result.nodes.map(({ name, state }) => [name, state]),
      [
        ['one', 'created'],
        ['two', 'created'],
      ],
    )
    const [one, two] = await Promise.all(
      result.nodes.map(({ dir, name }) => loadCredentials(filesOf(dir), name, Date.now())),
    )
    assert.ok(one !== undefined && two !== undefined)
    assert.equal(one.peerId, result.nodes[0]?.peerId)
    assert.notEqual(one.peerId, two.peerId)
    assert.deepEqual(one.keyring, two.keyring)
    assert.equal(checkAttestation(makeAttestation(one).bytes, two.serverCaPem, Date.now()).subject, 'one')
    const serving = new X509Certificate(one.serving.certPem)
    for (const host of ['one', 'one.example.com', 'localhost']) assert.ok(serving.checkHost(host), host)
    for (const ip of ['10.1.2.3', 'fd00::7', '127.0.0.1', '::1']) assert.ok(serving.checkIP(ip), ip)
    assert.ok(serving.subjectAltName?.includes(`URI:starling:${one.peerId}`))
    assert.deepEqual(serving.keyUsage, ['1.3.6.1.5.5.7.3.1'])
    assert.equal(new X509Certificate(one.client.certPem).subject, 'CN=one')
  })

  test('keys and the PSK have mode 0600, folders 0700, and nothing else is left', async () => {
    const dir = join(root, 'modes')
    await initTrust({ dir, nodes: [{ name: 'one', addresses: [] }] })
    for (const path of [dir, join(dir, 'ca'), join(dir, 'one')]) {
      assert.equal((await stat(path)).mode & 0o777, 0o700, path)
    }
    const modes = await Promise.all(
      [...(await treeOf(dir)).keys()].map(async (path) => [
        path.slice(dir.length + 1),
        ((await stat(path)).mode & 0o777).toString(8),
      ]),
    )
    const kept = ['client-ca.crt', 'client-ca.key', 'psk', 'server-ca.crt', 'server-ca.key'].map(
      (name) => `ca/${name}`,
    )
    const node = [
      'client-ca.crt',
      'client.crt',
      'client.key',
      'identity.key',
      'psk',
      'server-ca.crt',
      'serving.crt',
      'serving.key',
    ]
    const expected = [...kept, ...node.map((name) => `one/${name}`)]
    assert.deepEqual(
      modes,
      expected.map((path) => [path, path.endsWith('.crt') ? '644' : '600']),
    )
  })

  test('a second run adds nodes to the same CA and leaves what is there alone', async () => {
    const dir = join(root, 'twice')
    await initTrust({ dir, nodes: [{ name: 'one', addresses: [] }] })
    const before = await treeOf(dir)
    const again = await initTrust({
      dir,
      nodes: [
        { name: 'one', addresses: [] },
        { name: 'two', addresses: [] },
      ],
    })
    assert.equal(again.authority, 'reused')
    assert.deepEqual(
      again.nodes.map(({ state }) => state),
      ['kept', 'created'],
    )
    const now = await treeOf(dir)
    for (const [path, text] of before) assert.equal(now.get(path), text, path)
    await loadCredentials(filesOf(join(dir, 'two')), 'two', Date.now())
  })

  test('a CA that is incomplete, unsafe, mixed up or expired is refused and nothing is written', async () => {
    const dir = join(root, 'broken')
    const day = { dir, nodes: [{ name: 'two', addresses: [] }] }
    await initTrust({ dir, nodes: [{ name: 'one', addresses: [] }] })
    const key = join(dir, 'ca', 'server-ca.key')
    const text = await readFile(key)
    await chmod(key, 0o644)
    await assert.rejects(initTrust(day), refused('TRUST_FILE_UNSAFE', /chmod 600/))
    await unlink(key)
    await assert.rejects(
      initTrust(day),
      refused('TRUST_FILE_INVALID', /server-ca\.key: the server CA's key does not exist/),
    )
    await writeFile(key, await readFile(join(dir, 'ca', 'client-ca.key')), { mode: 0o600 })
    await assert.rejects(initTrust(day), refused('CERTIFICATE_MISMATCH', /does not belong to the key/))
    await writeFile(key, text)
    const nowMs = Date.now() + 4000 * 86_400_000
    await assert.rejects(initTrust({ ...day, nowMs }), refused('CERTIFICATE_EXPIRED', /is valid from/))
    assert.deepEqual((await readdir(dir)).sort(), ['ca', 'one'])
  })

  test('no certificate outlives its CA', async () => {
    const dir = join(root, 'clamped')
    await initTrust({ dir, nodes: [{ name: 'one', addresses: [] }] })
    const result = await initTrust({ dir, nodes: [{ name: 'two', addresses: [] }], days: 30_000 })
    const ca = new X509Certificate(await readFile(join(dir, 'ca', 'server-ca.crt')))
    const leaf = new X509Certificate(await readFile(join(dir, 'two', 'serving.crt')))
    assert.ok(leaf.validToDate <= ca.validToDate)
    assert.equal(Math.floor(result.notAfterMs / 1000), leaf.validToDate.getTime() / 1000)
  })

  test('two runs at the same time make one set', async () => {
    const dir = join(root, 'race')
    const options = { dir, nodes: [{ name: 'one', addresses: [] }] }
    const results = await Promise.allSettled([initTrust(options), initTrust(options)])
    assert.ok(results.some(({ status }) => status === 'fulfilled'))
    for (const result of results) {
      if (result.status === 'rejected') assert.match(String(result.reason), /another run/)
    }
    await loadCredentials(filesOf(join(dir, 'one')), 'one', Date.now())
    assert.deepEqual((await readdir(dir)).sort(), ['ca', 'one'])
  })

  test('options that make no sense are refused before anything is written', async () => {
    const dir = join(root, 'never')
    const node = { name: 'one', addresses: [] }
    const cases: [Parameters<typeof initTrust>[0], RegExp][] = [
      [{ dir, nodes: [] }, /no node is named/],
      [{ dir, nodes: [node, node] }, /named twice/],
      [{ dir, nodes: [node], days: 0 }, /no number of days/],
      [{ dir, nodes: [node], days: Number.NaN }, /no number of days/],
      [{ dir: '', nodes: [node] }, /folder is empty/],
      [{ dir: 'a\0b', nodes: [node] }, /NUL/],
      [{ dir, nodes: [{ name: '../one', addresses: [] }] }, /node name/],
      [{ dir, nodes: [{ name: 'one', addresses: ['../x'] }] }, /neither an IP address nor a host name/],
    ]
    for (const [options, pattern] of cases)
      await assert.rejects(initTrust(options), refused('USAGE', pattern))
    await assert.rejects(readdir(dir), { code: 'ENOENT' })
  })

  test('a folder that cannot be made is one line', async () => {
    const file = join(root, 'file')
    await writeFile(file, 'x')
    const options = { dir: join(file, 'sub'), nodes: [{ name: 'one', addresses: [] }] }
    await assert.rejects(
      initTrust(options),
      refused('TRUST_FILE_INVALID', /a part of the path is not a folder/),
    )
  })
})

describe('the --node argument', () => {
  test('is a name, with addresses behind an equals sign', () => {
    assert.deepEqual(parseNodeArgument('one'), { name: 'one', addresses: [] })
    assert.deepEqual(parseNodeArgument('one=10.0.0.1, [fd00::1],host.example.com'), {
      name: 'one',
      addresses: ['10.0.0.1', 'fd00::1', 'host.example.com'],
    })
  })

  test('says what is wrong with it', () => {
    const cases: [string, RegExp][] = [
      ['', /node name ""/],
      ['=10.0.0.1', /node name ""/],
      ['one=', /"" is neither/],
      ['one=10.0.0.1,', /"" is neither/],
      ['one=10.0.0.1:5001', /"10\.0\.0\.1:5001" is neither.*without port/],
      ['one=10.0.0.300', /is neither/],
      ['one=fe80::1%eth0', /is neither/],
      ['ca=10.0.0.1', /folder of the CA/],
      ['.hidden', /node name/],
      ['10.0.0', /looks like an IP address/],
      ['a/b', /node name/],
      ['x'.repeat(65), /1 to 64/],
    ]
    for (const [text, pattern] of cases) {
      assert.throws(() => parseNodeArgument(text), refused('USAGE', pattern), text)
    }
  })
})
