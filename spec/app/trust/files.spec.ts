import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { createPrivateKey, randomBytes } from 'node:crypto'
import { chmod, mkdir, mkdtemp, rm, symlink, unlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, beforeEach, describe, test } from 'node:test'
import { createCredentials, loadCredentials } from '../../../lib/app/trust/files.ts'
import type { TrustFiles } from '../../../lib/core/config.ts'
import type { CredentialSet } from '../../../lib/core/credentials.ts'
import { type ErrorCode, StarlingError } from '../../../lib/core/errors.ts'
import { checkAttestation, makeAttestation } from '../../../lib/trust/attestation.ts'
import { clientAuthUsage, serverAuthUsage } from '../../../lib/trust/certificate-chain.ts'
import {
  makeTestAuthority,
  makeTestCredentials,
  type TestAuthority,
  writeTestCredentials,
} from '../../support/test-trust.ts'
import { makeForeignCertificate } from '../../trust/foreign-pki.ts'

let root: string
let authority: TestAuthority
let good: CredentialSet
let files: TrustFiles
let count = 0

before(async () => {
  root = await mkdtemp(join(tmpdir(), 'starling-trust-'))
  authority = await makeTestAuthority()
  good = await makeTestCredentials('node-1', { authority })
})
after(() => rm(root, { recursive: true, force: true }))
beforeEach(async () => {
  count += 1
  files = await writeTestCredentials(join(root, `${count}`), good)
})

/** Loads, expects a refusal with this code, and returns its one line. */
async function refusal(code: ErrorCode, nowMs = Date.now(), nodeName = 'node-1'): Promise<string> {
  try {
    await loadCredentials(files, nodeName, nowMs)
  } catch (error) {
    assert.ok(error instanceof StarlingError, String(error))
    const line = error.format()
    assert.equal(error.code, code, line)
    assert.doesNotMatch(line, /\n/)
    assert.match(line, /; /, 'it says what to do')
    return line
  }
  assert.fail('the files were accepted')
}

describe('loading credentials', () => {
  test('a good set is loaded whole', async () => {
    const { identityPrivateKey, ...loaded } = await loadCredentials(files, 'node-1', Date.now())
    const { identityPrivateKey: expectedKey, ...expected } = good
    assert.ok(identityPrivateKey.equals(expectedKey))
    assert.deepEqual(
      { ...loaded, identityPublicKey: Buffer.from(loaded.identityPublicKey) },
      { ...expected, identityPublicKey: Buffer.from(expected.identityPublicKey) },
    )
  })

  for (const file of ['psk', 'identity', 'servingKey', 'clientKey'] as const) {
    test(`${file} is refused while others can use it, with the mode and what to run`, async () => {
      for (const mode of [0o640, 0o604, 0o660, 0o610]) {
        await chmod(files[file], mode)
        const line = await refusal('TRUST_FILE_UNSAFE')
        assert.ok(line.startsWith(`${files[file]}: the `), line)
        assert.ok(line.endsWith(`(mode 0${mode.toString(8)}); run: chmod 600 ${files[file]}`), line)
      }
      await chmod(files[file], 0o400)
      await loadCredentials(files, 'node-1', Date.now())
    })
  }

  test('certificates may be read by everybody, and files may be symbolic links', async () => {
    await chmod(files.servingCert, 0o644)
    const link = join(root, `${count}`, 'link')
    await symlink(files.servingKey, link)
    await loadCredentials({ ...files, servingKey: link }, 'node-1', Date.now())
  })

  for (const file of [
    'psk',
    'identity',
    'servingKey',
    'servingCert',
    'serverCa',
    'clientKey',
    'clientCert',
    'clientCa',
  ] as const) {
    test(`${file} that is absent, empty, binary, too large, a folder, a device, a pipe or a loop is refused by name`, async () => {
      const path = files[file]
      const expectLine = async (pattern: RegExp): Promise<void> => {
        const line = await refusal('TRUST_FILE_INVALID')
        assert.ok(line.startsWith(`${path}:`), line)
        assert.match(line, pattern)
        await rm(path, { recursive: true, force: true })
      }
      await unlink(path)
      await expectLine(/does not exist/)
      await writeFile(path, '', { mode: 0o600 })
      await expectLine(/is empty/)
      await writeFile(path, Uint8Array.of(0x30, 0x82, 0, 0xff), { mode: 0o600 })
      await expectLine(/is binary, not text/)
      await writeFile(path, '#'.repeat(2 ** 20 + 1), { mode: 0o600 })
      await expectLine(/larger than 1 MiB/)
      await mkdir(path, { mode: 0o700 })
      await expectLine(/is a folder/)
      execFileSync('mkfifo', [path])
      await expectLine(/is a pipe/)
      await symlink('/dev/zero', path)
      await expectLine(/is a device/)
      await symlink(path, path)
      await expectLine(/circle/)
      await writeFile(path, 'hello\n', { mode: 0o600 })
      await expectLine(/neither hexadecimal|holds no/)
    })
  }

  test('paths that no file can have are refused', async () => {
    const good = files
    for (const path of ['/nowhere\0/psk', `/${'x'.repeat(4096)}`, `${good.psk}/psk`]) {
      files = { ...good, psk: path }
      assert.match(await refusal('TRUST_FILE_INVALID'), /does not exist|NUL|too long/)
    }
  })

  test('a PSK under 32 bytes is refused', async () => {
    await writeFile(files.psk, randomBytes(31).toString('hex'))
    assert.match(await refusal('TRUST_FILE_INVALID'), /:1: the PSK has 31 bytes, not at least 32/)
  })

  test('an identity that is not Ed25519, or no key, or protected by a passphrase is refused', async () => {
    await writeFile(files.identity, good.serving.keyPem)
    assert.match(await refusal('TRUST_FILE_INVALID'), /of type ec, not Ed25519/)
    await writeFile(files.identity, good.serving.certPem)
    assert.match(await refusal('TRUST_FILE_INVALID'), /holds no private key/)
    const options = { type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase: 'x' } as const
    await writeFile(files.identity, good.identityPrivateKey.export(options))
    assert.match(await refusal('TRUST_FILE_INVALID'), /protected by a passphrase/)
    await writeFile(files.identity, '-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n')
    assert.match(await refusal('TRUST_FILE_INVALID'), /the identity key cannot be read/)
  })

  test('a certificate that does not belong to its key is refused', async () => {
    await writeFile(files.servingKey, good.client.keyPem)
    const line = await refusal('CERTIFICATE_MISMATCH')
    assert.ok(
      line.includes(`the serving certificate "node-1" does not belong to the key ${files.servingKey}`),
      line,
    )
    await writeFile(files.servingKey, good.serving.keyPem)
    await writeFile(files.clientKey, good.serving.keyPem)
    assert.match(await refusal('CERTIFICATE_MISMATCH'), /the client certificate .* does not belong/)
  })

  test('a chain file whose first certificate is not that of the key says so', async () => {
    await writeFile(files.servingCert, good.serverCaPem + good.serving.certPem)
    assert.match(await refusal('CERTIFICATE_MISMATCH'), /put the certificate of the key first/)
  })

  test('a certificate of another CA is refused', async () => {
    const foreign = await makeTestAuthority()
    await writeFile(files.serverCa, foreign.serverCa.certPem)
    const line = await refusal('CERTIFICATE_MISMATCH')
    assert.ok(
      line.includes(`"node-1" is issued by "test server CA", which leads to no root of ${files.serverCa}`),
      line,
    )
    await writeFile(files.serverCa, good.serverCaPem)
    await writeFile(files.clientCa, foreign.clientCa.certPem)
    assert.match(await refusal('CERTIFICATE_MISMATCH'), /the client certificate .* leads to no root of/)
  })

  test('a CA file that holds a leaf, or no root, or garbage is refused', async () => {
    await writeFile(files.serverCa, good.serverCaPem + good.serving.certPem)
    assert.match(await refusal('TRUST_FILE_INVALID'), /the certificate "node-1" is not one of a CA/)
    const middle = await makeForeignCertificate({ name: 'middle', issuer: authority.serverCa, ca: {} })
    await writeFile(files.serverCa, middle.certPem)
    assert.match(await refusal('TRUST_FILE_INVALID'), /no self-signed root/)
    await writeFile(files.serverCa, '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n')
    assert.match(await refusal('TRUST_FILE_INVALID'), /a certificate in the file cannot be read/)
  })

  test('expired and not yet valid certificates are refused with the date', async () => {
    const late = await refusal('CERTIFICATE_EXPIRED', Date.now() + 2 * 86_400_000)
    assert.match(late, /serving\.crt: the serving certificate "node-1" has expired at \d{4}-.*; renew it/)
    const early = await refusal('CERTIFICATE_EXPIRED', Date.now() - 86_400_000)
    assert.match(early, /is not valid before \d{4}-.*; set the clock/)
  })

  test('an expired CA is refused by the name of its file', async () => {
    const old = await makeForeignCertificate({ name: 'old', ca: {}, notAfterMs: Date.now() - 1000 })
    const serving = await makeForeignCertificate({ name: 'node-1', issuer: old, dns: ['node-1'] })
    files = await writeTestCredentials(join(root, `${count}`), { ...good, serverCaPem: old.certPem, serving })
    const line = await refusal('CERTIFICATE_EXPIRED')
    assert.ok(line.startsWith(`${files.serverCa}: the certificate "old" has expired`), line)
  })

  test('certificates that may not be used as server or client are refused', async () => {
    const serving = await makeForeignCertificate({
      name: 'node-1',
      issuer: authority.serverCa,
      usages: [clientAuthUsage],
    })
    files = await writeTestCredentials(join(root, `${count}`), { ...good, serving })
    assert.match(await refusal('TRUST_FILE_INVALID'), /lacks the extended key usage serverAuth/)
    const client = await makeForeignCertificate({
      name: 'node-1',
      issuer: authority.clientCa,
      usages: [serverAuthUsage],
    })
    files = await writeTestCredentials(join(root, `${count}`), { ...good, client })
    assert.match(await refusal('TRUST_FILE_INVALID'), /lacks the extended key usage clientAuth/)
  })

  test('a serving certificate that names another PeerId, or not this node, is refused', async () => {
    const other = await makeTestCredentials('node-1', { authority })
    files = await writeTestCredentials(join(root, `${count}`), { ...good, serving: other.serving })
    const line = await refusal('CERTIFICATE_MISMATCH')
    assert.ok(
      line.includes(`names the PeerId ${other.peerId}, but ${files.identity} is ${good.peerId}`),
      line,
    )
    files = await writeTestCredentials(join(root, `${count}`), good)
    const named = await refusal('CERTIFICATE_MISMATCH', Date.now(), 'node-2')
    assert.match(named, /does not name this node, "node-2"; set node\.name to one of its names \(DNS:node-1/)
  })

  for (const key of ['rsa2048', 'p384'] as const) {
    test(`a foreign PKI with ${key} keys and an intermediate works from the files to the attestation`, async () => {
      const ca = await makeForeignCertificate({ name: 'root', key, ca: {} })
      const middle = await makeForeignCertificate({ name: 'middle', key, issuer: ca, ca: { pathLength: 0 } })
      const leaf = await makeForeignCertificate({
        name: 'system:node:node-1',
        key,
        issuer: middle,
        usages: [serverAuthUsage, clientAuthUsage],
        dns: ['node-1'],
      })
      const type = key === 'rsa2048' ? 'pkcs1' : 'sec1'
      const keyPem = createPrivateKey(leaf.keyPem).export({ type, format: 'pem' }).toString()
      const pair = { certPem: leaf.certPem + middle.certPem + ca.certPem, keyPem }
      const set = { ...good, serverCaPem: ca.certPem, clientCaPem: ca.certPem, serving: pair, client: pair }
      files = await writeTestCredentials(join(root, `${count}`), set)
      const loaded = await loadCredentials(files, 'node-1', Date.now())
      const { bytes } = makeAttestation(loaded)
      assert.equal(checkAttestation(bytes, ca.certPem, Date.now()).peerId, good.peerId)
    })
  }

  test('a key of openssl ecparam, parameters before the key, is read', async () => {
    const leaf = await makeForeignCertificate({ name: 'node-1', issuer: authority.serverCa, dns: ['node-1'] })
    const sec1 = createPrivateKey(leaf.keyPem).export({ type: 'sec1', format: 'pem' }).toString()
    const parameters = '-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n'
    const serving = { certPem: leaf.certPem, keyPem: parameters + sec1 }
    files = await writeTestCredentials(join(root, `${count}`), { ...good, serving })
    await loadCredentials(files, 'node-1', Date.now())
  })
})

test('credentials that are replaced reach every subscriber until it ends', async () => {
  const credentials = createCredentials(good)
  const next = await makeTestCredentials('node-1', { authority })
  const seen: CredentialSet[] = []
  const end = credentials.subscribe((set) => seen.push(set))
  credentials.replace(next)
  end()
  credentials.replace(good)
  assert.deepEqual(seen, [next])
  assert.equal(credentials.current(), good)
})
