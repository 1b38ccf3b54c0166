import 'reflect-metadata'
import assert from 'node:assert/strict'
import { createPublicKey, generateKeyPairSync, webcrypto } from 'node:crypto'
import { describe, it } from 'node:test'
import * as x509 from '@peculiar/x509'
import { makeCertificateKey } from '../../lib/trust/certificate-key.ts'
import { JoinRefusedError } from '../../lib/trust/join-refusal.ts'
import { checkSigningRequest, makeSigningRequest } from '../../lib/trust/signing-request.ts'

const allowed = new Set(['dns:node-1', 'ip:192.0.2.1', 'uri:starling:peer'])
const check = (pem: string) => checkSigningRequest(pem, { nodeName: 'node-1', allowed })
const refused = (reason: string) => (error: unknown) =>
  error instanceof JoinRefusedError && error.reason === reason

type Generation = Parameters<typeof x509.Pkcs10CertificateRequestGenerator.create>[0]

async function foreign(
  algorithm: object,
  options: { name?: Generation['name']; extensions?: x509.Extension[] } = {},
): Promise<string> {
  const keys = (await webcrypto.subtle.generateKey(algorithm as { name: string; hash: string }, true, [
    'sign',
    'verify',
  ])) as Generation['keys']
  const request = await x509.Pkcs10CertificateRequestGenerator.create(
    {
      name: options.name ?? 'CN=node-1',
      keys,
      signingAlgorithm: { hash: 'SHA-256', ...algorithm } as Generation['signingAlgorithm'] & object,
      ...(options.extensions === undefined ? {} : { extensions: options.extensions }),
    },
    webcrypto,
  )
  return `${request.toString('pem')}\n`
}

const rsa = (bits: number) => ({
  name: 'RSASSA-PKCS1-v1_5',
  hash: 'SHA-256',
  modulusLength: bits,
  publicExponent: Uint8Array.of(1, 0, 1),
})
const p256 = { name: 'ECDSA', namedCurve: 'P-256' }

describe('a signing request', () => {
  it('of a node yields its key and nothing else', async () => {
    const keyPem = makeCertificateKey()
    const pem = await makeSigningRequest(keyPem, 'node-1', [
      'dns:node-1',
      'ip:192.0.2.1',
      'uri:starling:peer',
    ])
    const spki = createPublicKey(keyPem).export({ type: 'spki', format: 'der' })
    assert.deepEqual(Buffer.from(await check(pem)), spki)
    assert.deepEqual(Buffer.from(await check(await makeSigningRequest(keyPem, 'node-1'))), spki)
  })

  it('with an RSA key of 2048 bits or a P-384 key is good too', async () => {
    await check(await foreign(rsa(2048)))
    await check(await foreign({ name: 'ECDSA', namedCurve: 'P-384' }))
  })

  it('is refused with a weak or unfit key', async () => {
    await assert.rejects(async () => check(await foreign(rsa(1024))), refused('request-key'))
    await assert.rejects(async () => check(await foreign({ name: 'Ed25519' })), refused('request-key'))
  })

  it('is refused with names that are not of the node, and with other extensions', async () => {
    const key = makeCertificateKey()
    for (const name of ['dns:node-2', 'ip:192.0.2.9', 'uri:starling-role:server', 'dns:*']) {
      await assert.rejects(
        async () => check(await makeSigningRequest(key, 'node-1', ['dns:node-1', name])),
        refused('request-names'),
        name,
      )
    }
    await assert.rejects(async () => check(await makeSigningRequest(key, 'node-2')), refused('request-names'))
    const twice = await foreign(p256, { name: 'CN=node-1, CN=admin' })
    await assert.rejects(check(twice), refused('request-names'))
    const ca = await foreign(p256, { extensions: [new x509.BasicConstraintsExtension(true)] })
    await assert.rejects(check(ca), refused('request-names'))
  })

  it('is refused where its key has not signed it', async () => {
    const pem = await makeSigningRequest(makeCertificateKey(), 'node-1', ['dns:node-1'])
    const der = Buffer.from(pem.replace(/-----.*-----/g, ''), 'base64')
    der[der.length - 1] = (der.at(-1) ?? 0) ^ 1
    const forged = `-----BEGIN CERTIFICATE REQUEST-----\n${der.toString('base64')}\n-----END CERTIFICATE REQUEST-----\n`
    await assert.rejects(check(forged), refused('request-signature'))
  })

  it('is refused when it is garbage, of another kind or too large', async () => {
    const { publicKey } = generateKeyPairSync('ed25519')
    const wrap = (text: string) =>
      `-----BEGIN CERTIFICATE REQUEST-----\n${text}\n-----END CERTIFICATE REQUEST-----\n`
    for (const pem of [
      '',
      'garbage',
      wrap('AAAA'),
      wrap(Buffer.alloc(500, 0x30).toString('base64')),
      publicKey.export({ type: 'spki', format: 'pem' }).toString(),
      wrap('A'.repeat(9000)),
      'A'.repeat(10 * 2 ** 20),
    ]) {
      await assert.rejects(check(pem), refused('request-malformed'), pem.slice(0, 80))
    }
  })
})
