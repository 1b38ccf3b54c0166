import { existsSync } from 'node:fs'
import type { TrustFiles } from '../../core/config.ts'
import type { CredentialSet, Credentials, Revocation } from '../../core/credentials.ts'
import { checkIdentity, checkKeyPair, checkServingNames, keyPairOf } from '../../trust/credential-checks.ts'
import { parseKeyring } from '../../trust/keyring.ts'
import { readRevocations } from '../../trust/revocation-list.ts'
import { readTrustText } from './text.ts'

/**
 * Reads and checks everything secret or signed that a node works with. The first fault is the error; nothing is
 * written. Certificates of a foreign PKI (RSA or EC keys, with intermediates) are as good as ours.
 * @param nodeName the serving certificate must name it, because peers look for it there
 * @param nowMs wall clock, milliseconds since 1970
 * @throws StarlingError TRUST_FILE_UNSAFE, TRUST_FILE_INVALID, CERTIFICATE_EXPIRED, CERTIFICATE_MISMATCH
 */
export async function loadCredentials(
  files: TrustFiles,
  nodeName: string,
  nowMs: number,
): Promise<CredentialSet> {
  const open = (file: string, what: string) => readTrustText(file, { what, secret: false })
  const secret = (file: string, what: string) => readTrustText(file, { what, secret: true })
  const psk = await secret(files.psk, 'the PSK')
  const identityText = await secret(files.identity, 'the identity key')
  const serving = {
    kind: 'serving',
    key: await secret(files.servingKey, 'the serving key'),
    cert: await open(files.servingCert, 'the serving certificate'),
    ca: await open(files.serverCa, 'the server CA'),
  } as const
  const client = {
    kind: 'client',
    key: await secret(files.clientKey, 'the client key'),
    cert: await open(files.clientCert, 'the client certificate'),
    ca: await open(files.clientCa, 'the client CA'),
  } as const

  const keyring = parseKeyring(psk.text, psk.file)
  const identity = checkIdentity(identityText)
  const leaf = checkKeyPair(serving, nowMs)
  const node = { name: nodeName, peerId: identity.peerId, identityFile: files.identity }
  checkServingNames(files.servingCert, leaf, node)
  checkKeyPair(client, nowMs)
  return {
    nodeName,
    peerId: identity.peerId,
    identityPublicKey: identity.publicKey,
    identityPrivateKey: identity.privateKey,
    serverCaPem: serving.ca.text,
    clientCaPem: client.ca.text,
    serving: keyPairOf(serving.cert, serving.key),
    client: keyPairOf(client.cert, client.key),
    keyring,
    ...(await loadRevocations(files.revocations, serving.ca.text)),
  }
}

/** @throws StarlingError TRUST_FILE_INVALID */
async function loadRevocations(
  file: string | undefined,
  serverCaPem: string,
): Promise<{ revocations?: readonly Revocation[] }> {
  if (file === undefined || !existsSync(file)) return {}
  const { text } = await readTrustText(file, { what: 'the list of revoked nodes', secret: false })
  return { revocations: readRevocations(text, serverCaPem, file) }
}

/** The port through which credentials reach the parts of a node; `replace` tells every subscriber. */
export function createCredentials(
  initial: CredentialSet,
): Credentials & { replace(set: CredentialSet): void } {
  let current = initial
  const listeners = new Set<(set: CredentialSet) => void>()
  return {
    current: () => current,
    subscribe(listener) {
      listeners.add(listener)
      return () => void listeners.delete(listener)
    },
    replace(set) {
      current = set
      for (const listener of [...listeners]) listener(set)
    },
  }
}
