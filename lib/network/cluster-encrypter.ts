import type {
  ConnectionEncrypter,
  MessageStream,
  SecureConnectionOptions,
  SecuredConnection,
} from '@libp2p/interface'
import { tls } from '@libp2p/tls'
import { describeError } from '../core/errors.ts'
import type { PeerId } from '../core/peer-id.ts'
import type { ChannelRole } from '../trust/channel-proof.ts'
import { clusterHandshake, type HandshakeContext, HandshakeRefusedError } from './cluster-handshake.ts'
import { within } from './deadline.ts'
import { ProtectedStream, remoteOf } from './protected-stream.ts'
import type { Refusals } from './refusals.ts'

/** Not libp2p's `/tls/1.0.0`: a plain libp2p node finds no common protocol here. */
export const clusterTlsProtocol = '/starling/tls/1'

/** Begins the message of an error that means "not admitted"; libp2p keeps nothing else of it. */
export const notAdmittedPrefix = 'not admitted to the cluster: '

const handshakeTimeoutMs = 5_000

export interface ClusterEncrypterOptions extends HandshakeContext {
  readonly refusals: Refusals
}

type TlsComponents = Parameters<ReturnType<typeof tls>>[0]

/**
 * Gates 2 and 3 of the p2p port (DESIGN §7): libp2p's TLS proves the PeerId, then certificates of the cluster are
 * exchanged inside it. Only after that does libp2p get the connection, and with it any stream or protocol.
 */
export function clusterEncrypter(
  options: ClusterEncrypterOptions,
): (components: TlsComponents) => ConnectionEncrypter {
  return (components) => new ClusterEncrypter(tls()(components), options)
}

class ClusterEncrypter implements ConnectionEncrypter {
  readonly protocol = clusterTlsProtocol
  readonly #tls: ConnectionEncrypter
  readonly #options: ClusterEncrypterOptions

  constructor(inner: ConnectionEncrypter, options: ClusterEncrypterOptions) {
    this.#tls = inner
    this.#options = options
  }

  async secureInbound(stream: MessageStream, options?: SecureConnectionOptions): Promise<SecuredConnection> {
    return this.#admit(stream, 'listener', options, (bounded) => this.#tls.secureInbound(stream, bounded))
  }

  async secureOutbound(stream: MessageStream, options?: SecureConnectionOptions): Promise<SecuredConnection> {
    return this.#admit(stream, 'dialer', options, (bounded) => this.#tls.secureOutbound(stream, bounded))
  }

  async #admit(
    stream: MessageStream,
    role: ChannelRole,
    options: SecureConnectionOptions | undefined,
    handshake: (options: SecureConnectionOptions) => Promise<SecuredConnection>,
  ): Promise<SecuredConnection> {
    return within(handshakeTimeoutMs, [options?.signal], (signal) =>
      this.#admitWithin(stream, role, options, handshake, signal),
    )
  }

  async #admitWithin(
    stream: MessageStream,
    role: ChannelRole,
    options: SecureConnectionOptions | undefined,
    handshake: (options: SecureConnectionOptions) => Promise<SecuredConnection>,
    signal: AbortSignal,
  ): Promise<SecuredConnection> {
    if (stream instanceof ProtectedStream) stream.claimed = true
    const where = { remote: remoteOf(stream), direction: stream.direction }
    let secured: SecuredConnection
    try {
      secured = await handshake({ ...options, signal })
    } catch (error) {
      this.#options.refusals.refuse('tls', tlsReason(error, signal), {
        ...where,
        detail: describeError(error),
      })
      throw error
    }
    const remote = secured.remotePeer.toString() as PeerId
    // libp2p itself refuses a connection to ourselves a moment later; it is no stranger's attempt.
    if (remote === this.#options.credentials.current().peerId) return secured
    try {
      await clusterHandshake(secured.connection, remote, role, this.#options, signal)
      return secured
    } catch (error) {
      const reason = error instanceof HandshakeRefusedError ? error.reason : 'failed'
      const detail = `${remote}: ${describeError(error)}`
      this.#options.refusals.refuse('certificate', reason, { ...where, detail })
      secured.connection.abort(error instanceof Error ? error : new Error(String(error)))
      throw new Error(`${notAdmittedPrefix}${describeError(error)}`, { cause: error })
    }
  }
}

function tlsReason(error: unknown, signal: AbortSignal): string {
  if (signal.aborted) return 'silent'
  return error instanceof Error && error.name === 'UnexpectedPeerError' ? 'peer-id' : 'handshake'
}
