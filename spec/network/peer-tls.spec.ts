import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { publicKeyFromRaw } from '@libp2p/crypto/keys'
import type { ConnectionEncrypter, MessageStream, StreamMuxerFactory } from '@libp2p/interface'
import { peerIdFromPublicKey } from '@libp2p/peer-id'
import { tls } from '@libp2p/tls'
import { multiaddrConnectionPair } from '@libp2p/utils'
import { toLibp2pKey } from '../../lib/network/identity-key.ts'
import { PeerTls } from '../../lib/network/peer-tls.ts'
import { type Identity, makeIdentityPem, readIdentity } from '../../lib/trust/identity.ts'
import { eventually } from '../support/eventually.ts'
import { systemClock } from './test-host.ts'

const muxers = new Map([['/yamux/1.0.0', { protocol: '/yamux/1.0.0' } as StreamMuxerFactory]])
const [dialer, listener, third] = [1, 2, 3].map(() => readIdentity(makeIdentityPem())) as [
  Identity,
  Identity,
  Identity,
]
const peerOf = ({ publicKey }: Identity) => peerIdFromPublicKey(publicKeyFromRaw(publicKey))

type End = Pick<ConnectionEncrypter, 'secureInbound' | 'secureOutbound'>

function ours({ privateKey }: Identity): End {
  const peerTls = new PeerTls({ identity: privateKey, clock: systemClock, muxers: () => muxers })
  return {
    secureInbound: (stream, options = {}) => peerTls.secure(stream, 'listener', options),
    secureOutbound: (stream, options = {}) => peerTls.secure(stream, 'dialer', options),
  }
}

/** The encrypter of libp2p itself: what other versions of this program have. */
function libp2ps({ privateKey }: Identity, stream: MessageStream): End {
  return tls()({
    privateKey: toLibp2pKey(privateKey),
    logger: { forComponent: () => stream.log },
    upgrader: { getStreamMuxers: () => muxers },
  } as unknown as Parameters<ReturnType<typeof tls>>[0])
}

async function received(stream: MessageStream, sizeBytes: number): Promise<Buffer> {
  const chunks: Uint8Array[] = []
  stream.addEventListener('message', ({ data }) => chunks.push(data.subarray()))
  await eventually(() => Buffer.concat(chunks).length >= sizeBytes, { what: `${sizeBytes} bytes to arrive` })
  return Buffer.concat(chunks)
}

describe('TLS between peers', () => {
  for (const [who, makeDialer, makeListener] of [
    ['ours to ours', ours, ours],
    ['ours to that of libp2p', ours, libp2ps],
    ['that of libp2p to ours', libp2ps, ours],
  ] as const) {
    it(`proves both identities, agrees on a muxer and carries bytes both ways: ${who}`, async () => {
      const [outbound, inbound] = multiaddrConnectionPair()
      const [there, here] = await Promise.all([
        makeDialer(dialer, outbound).secureOutbound(outbound, { remotePeer: peerOf(listener) }),
        makeListener(listener, inbound).secureInbound(inbound),
      ])
      assert.equal(there.remotePeer.toString(), listener.peerId)
      assert.equal(here.remotePeer.toString(), dialer.peerId)
      assert.equal(there.streamMuxer?.protocol, '/yamux/1.0.0')
      assert.equal(here.streamMuxer?.protocol, '/yamux/1.0.0')
      const big = Buffer.alloc(300_000, 'starling')
      const [atHere, atThere] = [received(here.connection, big.length), received(there.connection, 5)]
      there.connection.send(big)
      here.connection.send(Buffer.from('hello'))
      assert.ok((await atHere).equals(big))
      assert.equal((await atThere).toString(), 'hello')
      await there.connection.close()
      await eventually(() => here.connection.status !== 'open', { what: 'the other end to close' })
    })
  }

  it('ends where another peer answers than the one that was dialled', async () => {
    const [outbound, inbound] = multiaddrConnectionPair()
    const answered = ours(listener).secureInbound(inbound)
    answered.catch(() => {})
    await assert.rejects(ours(dialer).secureOutbound(outbound, { remotePeer: peerOf(third) }), {
      name: 'UnexpectedPeerError',
    })
    assert.equal(outbound.status, 'aborted')
  })

  it('ends where nobody answers and the caller gives up', async () => {
    const [outbound] = multiaddrConnectionPair()
    const giving = new AbortController()
    const secured = ours(dialer).secureOutbound(outbound, { signal: giving.signal })
    giving.abort(new Error('it took too long'))
    await assert.rejects(secured, /it took too long/)
    assert.equal(outbound.status, 'aborted')
  })

  it('ends where the other side speaks no TLS', async () => {
    const [outbound, inbound] = multiaddrConnectionPair()
    const secured = ours(listener).secureInbound(inbound)
    outbound.send(Buffer.from('GET / HTTP/1.1\r\n\r\n'))
    await assert.rejects(secured)
    assert.notEqual(inbound.status, 'open')
  })
})
