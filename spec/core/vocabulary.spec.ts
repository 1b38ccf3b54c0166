import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import { describe, it } from 'node:test'
import { digestFromBytes, digestToBytes, isDigest, parseDigest } from '../../lib/core/digest.ts'
import { describeError, StarlingError } from '../../lib/core/errors.ts'
import { parseManifest } from '../../lib/core/manifest.ts'
import { maxManifestSizeBytes, mediaTypes } from '../../lib/core/media-types.ts'
import { formatEndpoint, parseHostPort } from '../../lib/core/peer.ts'
import { peerIdFromPublicKey, publicKeyFromPeerId, shortIdOf } from '../../lib/core/peer-id.ts'
import { formatDuration, formatSize, parseDurationMs, parseSizeBytes } from '../../lib/core/units.ts'
import { identityMultihash, peerIdOfLibp2p } from '../support/libp2p-peer-id.ts'

const digest = `sha256:${'0a'.repeat(32)}`

describe('digests', () => {
  it('are sha256 and 64 lower-case digits, and nothing else', () => {
    assert.ok(isDigest(digest))
    for (const text of [
      '',
      'sha256:',
      digest.toUpperCase(),
      `${digest}0`,
      digest.slice(1),
      `sha512:${'0'.repeat(128)}`,
    ]) {
      assert.ok(!isDigest(text), text)
      assert.throws(
        () => parseDigest(text),
        (error) => error instanceof StarlingError && error.code === 'DIGEST_INVALID',
      )
    }
  })

  it('survive the way through their 32 bytes', () => {
    assert.equal(digestFromBytes(digestToBytes(parseDigest(digest))), digest)
    assert.throws(() => digestFromBytes(new Uint8Array(31)), StarlingError)
  })
})

describe('errors', () => {
  it('are one line of place, what is wrong and what to do', () => {
    const position = { file: 'a.yaml', line: 3, column: 7 }
    const error = new StarlingError('CONFIG_INVALID', 'no such key "x"', {
      hint: 'did you mean "y"?',
      position,
    })
    assert.equal(error.format(), 'a.yaml:3:7: no such key "x"; did you mean "y"?')
    const hostile = new StarlingError('ARCHIVE_INVALID', 'x\ty', { position: { file: 'a\n\u001b[2Jb' } })
    assert.equal(hostile.format(), 'a\ufffd\ufffd[2Jb: x\ufffdy')
    assert.equal(describeError(new Error('plain')), 'plain')
    assert.equal(describeError('text'), 'text')
  })
})

describe('durations and sizes', () => {
  it('are read with their units and not without', () => {
    assert.equal(parseDurationMs('500ms'), 500)
    assert.equal(parseDurationMs('1m30s'), 90_000)
    assert.equal(parseDurationMs('0.5s'), 500)
    for (const text of ['', '5', 's', '-1s', '1 s', '1y', '1s2'])
      assert.equal(parseDurationMs(text), undefined, text)
    assert.equal(parseSizeBytes('64MiB'), 64 * 2 ** 20)
    assert.equal(parseSizeBytes('1.5KB'), 1500)
    for (const text of ['', '64', 'MiB', '-1B', '1 MiB', '1mb'])
      assert.equal(parseSizeBytes(text), undefined, text)
  })

  it('are written in their largest unit', () => {
    assert.equal(formatDuration(90_000), '90s')
    assert.equal(formatDuration(120_000), '2m')
    assert.equal(formatDuration(1500), '1500ms')
    assert.equal(formatSize(64 * 2 ** 20), '64 MiB')
    assert.equal(formatSize(10), '10 B')
  })
})

describe('manifests', () => {
  const encode = (value: unknown) => new TextEncoder().encode(JSON.stringify(value))

  it('name their config and layers, and an index its manifests', () => {
    const manifest = parseManifest(
      encode({ config: { digest }, layers: [{ digest: 'x' }, { digest, size: 7 }] }),
    )
    assert.deepEqual(manifest, {
      mediaType: mediaTypes.ociManifest,
      children: [digest, digest],
      childSizes: [Number.NaN, 7],
    })
    const index = parseManifest(
      encode({ mediaType: mediaTypes.dockerList, manifests: [{ digest, size: -1 }] }),
    )
    assert.deepEqual(index, { mediaType: mediaTypes.dockerList, children: [digest], childSizes: [-1] })
  })

  it('are told from any other blob without an error', () => {
    const others = [
      new Uint8Array(0),
      encode([]),
      encode({}),
      encode('x'),
      encode({ layers: [] }),
      Uint8Array.of(0x7b, 0xff),
      new Uint8Array(maxManifestSizeBytes + 1).fill(0x7b),
    ]
    for (const bytes of others) assert.equal(parseManifest(bytes), undefined)
  })
})

describe('PeerIds', () => {
  it('are those of libp2p', async () => {
    const publicKey = generateKeyPairSync('ed25519')
      .publicKey.export({ type: 'spki', format: 'der' })
      .subarray(-32)
    const peerId = peerIdFromPublicKey(publicKey)
    assert.equal(peerId, peerIdOfLibp2p(publicKey))
    assert.deepEqual(Buffer.from(publicKeyFromPeerId(peerId)), Buffer.from(publicKey))
    assert.match(shortIdOf(publicKey), /^[0-9a-f]{16}$/)
  })

  it('are refused where they are something else', () => {
    for (const text of ['', 'x', '12D3Koo', 'Qm'.repeat(200), identityMultihash(new Uint8Array(31))]) {
      assert.throws(() => publicKeyFromPeerId(text), StarlingError)
    }
  })
})

describe('endpoints', () => {
  it('are read and written, IPv6 in brackets', () => {
    assert.deepEqual(parseHostPort('[::1]:5001'), { host: '::1', port: 5001 })
    assert.deepEqual(parseHostPort('node-1:5001'), { host: 'node-1', port: 5001 })
    for (const text of ['', 'x', 'x:', ':1', '::1:5001', 'x:99999', 'a b:1'])
      assert.equal(parseHostPort(text), undefined, text)
    assert.equal(formatEndpoint({ host: '::1', port: 1 }), '[::1]:1')
  })
})
