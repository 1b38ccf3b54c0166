import type { KeyObject } from 'node:crypto'
import { connect, createSecureContext, type SecureContext, TLSSocket } from 'node:tls'
import { publicKeyFromRaw } from '@libp2p/crypto/keys'
import {
  type MessageStream,
  type PeerId,
  type SecureConnectionOptions,
  type SecuredConnection,
  type StreamMuxerFactory,
  UnexpectedPeerError,
} from '@libp2p/interface'
import { peerIdFromPublicKey } from '@libp2p/peer-id'
import type { Clock } from '../core/ports.ts'
import { identityOfPeerCertificate, makePeerCertificate } from '../trust/peer-certificate.ts'
import { StreamDuplex } from './stream-duplex.ts'
import { TlsStream } from './tls-stream.ts'

/** The protocol of a peer that does not agree on a muxer within the handshake (libp2p's inlined muxer negotiation). */
const noMuxer = 'libp2p'

export interface PeerTlsOptions {
  /** The Ed25519 private key of this node. */
  readonly identity: KeyObject
  readonly clock: Clock
  /** By their protocols. */
  readonly muxers: () => ReadonlyMap<string, StreamMuxerFactory>
}

/**
 * TLS 1.3 between peers as libp2p's TLS specification has it. Unlike the library's own it makes one key and one certificate for the
 * life of the process, where those for each handshake cost more than all the rest of it, and needs node:crypto alone.
 */
export class PeerTls {
  readonly #context: SecureContext
  readonly #options: PeerTlsOptions

  constructor(options: PeerTlsOptions) {
    this.#options = options
    const { certPem, keyPem } = makePeerCertificate(options.identity)
    this.#context = createSecureContext({
      cert: certPem,
      key: keyPem,
      minVersion: 'TLSv1.3',
      maxVersion: 'TLSv1.3',
    })
  }

  /**
   * One handshake. @throws Error where it fails or is given up, UnexpectedPeerError where another peer than `remotePeer` answers,
   * PeerCertificateError where the certificate proves none; the stream is ended then
   */
  secure(
    stream: MessageStream,
    role: 'dialer' | 'listener',
    options: SecureConnectionOptions,
  ): Promise<SecuredConnection> {
    const { signal, remotePeer } = options
    const { promise, resolve, reject } = Promise.withResolvers<SecuredConnection>()
    const muxers =
      options.skipStreamMuxerNegotiation === true
        ? new Map<string, StreamMuxerFactory>()
        : this.#options.muxers()
    const duplex = new StreamDuplex(stream)
    const socket = this.#socket(duplex, role, [...muxers.keys(), noMuxer])
    const fail = (error: Error) => {
      socket.destroy()
      stream.abort(error)
      reject(error)
    }
    const onAbort = () => fail(signal?.reason ?? new Error('the handshake was given up'))
    const onClose = () => fail(new Error('the connection was closed during the handshake'))
    socket.on('error', fail)
    duplex.on('error', fail)
    socket.once('close', onClose)
    socket.once('secure', () => {
      try {
        const found = this.#peerOf(socket)
        if (remotePeer?.equals(found) === false) {
          throw new UnexpectedPeerError(`expected ${remotePeer}, found ${found}`)
        }
        const streamMuxer = muxers.get(socket.alpnProtocol || noMuxer)
        socket.off('close', onClose)
        const connection = new TlsStream(stream, socket)
        resolve({ remotePeer: found, connection, ...(streamMuxer === undefined ? {} : { streamMuxer }) })
      } catch (error) {
        fail(error instanceof Error ? error : new Error(String(error)))
      }
    })
    if (signal?.aborted === true) onAbort()
    signal?.addEventListener('abort', onAbort)
    return promise.finally(() => signal?.removeEventListener('abort', onAbort))
  }

  #socket(duplex: StreamDuplex, role: 'dialer' | 'listener', protocols: string[]): TLSSocket {
    const common = {
      secureContext: this.#context,
      // A self-signed certificate is what the other side must show; `#peerOf` checks it.
      rejectUnauthorized: false,
      ALPNProtocols: protocols,
    }
    return role === 'listener'
      ? new TLSSocket(duplex, { ...common, isServer: true, requestCert: true })
      : connect({ ...common, socket: duplex })
  }

  #peerOf(socket: TLSSocket): PeerId {
    const { raw } = socket.getPeerCertificate()
    if (raw === undefined) throw new Error('the peer showed no certificate')
    const identity = identityOfPeerCertificate(raw, this.#options.clock.wallMs())
    return peerIdFromPublicKey(publicKeyFromRaw(identity))
  }
}
