import { randomBytes } from 'node:crypto'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { TrustFiles } from '../../lib/core/config.ts'
import type { CredentialSet, KeyPair, Keyring } from '../../lib/core/credentials.ts'
import {
  type CertificateTerms,
  issueClientCertificate,
  issueServingCertificate,
  makeCertificateAuthority,
} from '../../lib/trust/certificates.ts'
import { makeIdentityPem, readIdentity } from '../../lib/trust/identity.ts'
import { formatKeyring, makePsk, parseKeyring } from '../../lib/trust/keyring.ts'

export interface TestNode {
  readonly name: string
  readonly addresses?: readonly string[]
}

/** The roots and the PSK of a test cluster; pass one to several calls to add nodes to the same cluster. */
export interface TestAuthority {
  readonly serverCa: KeyPair
  readonly clientCa: KeyPair
  readonly keyring: Keyring
}

export interface TestTrustOptions {
  readonly nodes: readonly TestNode[]
  /** A fresh one without; a foreign CA is another authority, a foreign PSK one with another `keyring`. */
  readonly authority?: TestAuthority
  /** Validity of the nodes' certificates, milliseconds since 1970. By default from an hour ago for a day. */
  readonly notBeforeMs?: number
  readonly notAfterMs?: number
}

const hourMs = 3_600_000

export function testTerms(options: { notBeforeMs?: number; notAfterMs?: number } = {}): CertificateTerms {
  const { notBeforeMs = Date.now() - hourMs, notAfterMs = Date.now() + 24 * hourMs } = options
  return { notBeforeMs, notAfterMs, serial: randomBytes(16) }
}

export function makeTestKeyring(): Keyring {
  return [makePsk(randomBytes(32))]
}

/** Two roots that outlive what they issue, and a PSK. */
export async function makeTestAuthority(
  terms = testTerms({ notAfterMs: Date.now() + 240 * hourMs }),
): Promise<TestAuthority> {
  return {
    serverCa: await makeCertificateAuthority('test server CA', terms),
    clientCa: await makeCertificateAuthority('test client CA', { ...terms, serial: randomBytes(16) }),
    keyring: makeTestKeyring(),
  }
}

/** The authority that `init` wrote to a trust folder. */
export async function readTestAuthority(trustDir: string): Promise<TestAuthority> {
  const read = (file: string) => readFile(join(trustDir, 'ca', file), 'utf8')
  const pair = async (kind: string) => ({
    certPem: await read(`${kind}-ca.crt`),
    keyPem: await read(`${kind}-ca.key`),
  })
  return {
    serverCa: await pair('server'),
    clientCa: await pair('client'),
    keyring: parseKeyring(await read('psk'), 'psk'),
  }
}

/** The credentials of every node of a small cluster, made in memory: about 10 ms a node. */
export async function makeTestCluster(options: TestTrustOptions): Promise<Map<string, CredentialSet>> {
  const authority = options.authority ?? (await makeTestAuthority())
  const set = new Map<string, CredentialSet>()
  for (const { name, addresses = ['127.0.0.1'] } of options.nodes) {
    const { peerId, publicKey, privateKey } = readIdentity(makeIdentityPem())
    const subject = { nodeName: name, addresses, peerId }
    set.set(name, {
      nodeName: name,
      peerId,
      identityPublicKey: publicKey,
      identityPrivateKey: privateKey,
      serverCaPem: authority.serverCa.certPem,
      clientCaPem: authority.clientCa.certPem,
      serving: await issueServingCertificate(authority.serverCa, subject, testTerms(options)),
      client: await issueClientCertificate(authority.clientCa, name, testTerms(options)),
      keyring: authority.keyring,
    })
  }
  return set
}

/** The credentials of a cluster of one. */
export async function makeTestCredentials(
  name = 'node-1',
  options: Omit<TestTrustOptions, 'nodes'> = {},
): Promise<CredentialSet> {
  const cluster = await makeTestCluster({ ...options, nodes: [{ name }] })
  return cluster.get(name) as CredentialSet
}

/** Writes the files of one node into `dir`, keys with mode 0600. */
export async function writeTestCredentials(dir: string, credentials: CredentialSet): Promise<TrustFiles> {
  await mkdir(dir, { recursive: true, mode: 0o700 })
  const write = async (name: string, text: string): Promise<string> => {
    const path = join(dir, name)
    await writeFile(path, text, { mode: 0o600 })
    return path
  }
  const identity = credentials.identityPrivateKey.export({ type: 'pkcs8', format: 'pem' }).toString()
  return {
    serverCa: await write('server-ca.crt', credentials.serverCaPem),
    clientCa: await write('client-ca.crt', credentials.clientCaPem),
    servingCert: await write('serving.crt', credentials.serving.certPem),
    servingKey: await write('serving.key', credentials.serving.keyPem),
    clientCert: await write('client.crt', credentials.client.certPem),
    clientKey: await write('client.key', credentials.client.keyPem),
    psk: await write('psk', formatKeyring(credentials.keyring)),
    identity: await write('identity.key', identity),
  }
}

/** Like `makeTestCluster`, written to `DIR/NODE/`. */
export async function writeTestCluster(
  dir: string,
  options: TestTrustOptions,
): Promise<Map<string, { credentials: CredentialSet; files: TrustFiles }>> {
  const written = new Map<string, { credentials: CredentialSet; files: TrustFiles }>()
  for (const [name, credentials] of await makeTestCluster(options)) {
    written.set(name, { credentials, files: await writeTestCredentials(join(dir, name), credentials) })
  }
  return written
}
