import type { MessageStream } from '@libp2p/interface'
import type { Credentials } from '../core/credentials.ts'
import { describeError, StarlingError } from '../core/errors.ts'
import type { Attestation, AttestationRegistry } from '../core/messaging.ts'
import type { PeerId } from '../core/peer-id.ts'
import type { Clock } from '../core/ports.ts'
import { FieldWriter, readVersioned } from '../core/wire.ts'
import { AttestationRefusedError, checkAttestation, maxAttestationSizeBytes } from '../trust/attestation.ts'
import {
  type ChannelRole,
  maxChannelProofSizeBytes,
  signChannelProof,
  verifyChannelProof,
} from '../trust/channel-proof.ts'
import { readFirstFrame } from './frame-stream.ts'
import { encodeFrame } from './frames.ts'

const maxHelloSizeBytes = maxAttestationSizeBytes + maxChannelProofSizeBytes + 64
const maxVerdictSizeBytes = 128
const maxReasonSizeBytes = 64
const farewellTimeoutMs = 500

/** A peer failed to prove membership, or would not believe ours. `reason` is fit for a metric's label. */
export class HandshakeRefusedError extends StarlingError {
  readonly reason: string

  constructor(reason: string, message: string, cause?: unknown) {
    super('ATTESTATION_REFUSED', message, { cause })
    this.reason = reason
  }
}

export interface HandshakeContext {
  readonly credentials: Credentials
  readonly attestations: AttestationRegistry
  readonly clock: Clock
}

/**
 * Both ends show their attestation and sign for this channel, then tell each other the verdict, so that a dialler
 * knows that it was admitted before the connection counts as open (DESIGN §7).
 * @param stream inside TLS, which has proved `remote`; later bytes stay in it
 * @throws HandshakeRefusedError
 */
export async function clusterHandshake(
  stream: MessageStream,
  remote: PeerId,
  role: ChannelRole,
  context: HandshakeContext,
  signal: AbortSignal,
): Promise<Attestation> {
  const credentials = context.credentials.current()
  const self = credentials.peerId
  const hello = new FieldWriter()
    .bytes(1, context.attestations.own().bytes)
    .bytes(2, signChannelProof(credentials, { self, remote, role }))
    .finishVersioned()
  stream.send(encodeFrame(hello))
  const received = await receive(stream, maxHelloSizeBytes, signal)
  let attestation: Attestation
  try {
    attestation = check(received, remote, role, context)
  } catch (error) {
    await sayRefused(stream, error)
    throw error
  }
  stream.send(encodeFrame(new FieldWriter().bool(1, true).finishVersioned()))
  readVerdict(await receive(stream, maxVerdictSizeBytes, signal))
  return attestation
}

function check(hello: Uint8Array, remote: PeerId, role: ChannelRole, context: HandshakeContext): Attestation {
  let bytes: Uint8Array = new Uint8Array()
  let proof: Uint8Array = new Uint8Array()
  decode(hello, (field) => {
    if (field.number === 1) bytes = field.bytes(maxAttestationSizeBytes)
    if (field.number === 2) proof = field.bytes(maxChannelProofSizeBytes)
  })
  const attestation = context.attestations.admit(bytes)
  if (attestation === undefined) throw whyRefused(bytes, context)
  if (attestation.peerId !== remote) {
    throw new HandshakeRefusedError('peer-id', `${remote} showed the attestation of ${attestation.peerId}`)
  }
  const expected = { signer: remote, verifier: context.credentials.current().peerId, role: opposite(role) }
  if (!verifyChannelProof(attestation, proof, expected)) {
    throw new HandshakeRefusedError('channel-proof', `${remote} does not hold the key of its certificate`)
  }
  return attestation
}

/** The registry only says no; the check is repeated to tell the operator why. */
function whyRefused(bytes: Uint8Array, context: HandshakeContext): HandshakeRefusedError {
  try {
    checkAttestation(bytes, context.credentials.current().serverCaPem, context.clock.wallMs())
  } catch (error) {
    const reason = error instanceof AttestationRefusedError ? error.reason : 'malformed'
    return new HandshakeRefusedError(reason, describeError(error), error)
  }
  return new HandshakeRefusedError('revoked', 'its certificate is revoked or belongs to another peer')
}

function readVerdict(verdict: Uint8Array): void {
  let admitted = false
  let reason = ''
  decode(verdict, (field) => {
    if (field.number === 1) admitted = field.bool()
    if (field.number === 2) reason = field.string(maxReasonSizeBytes)
  })
  if (admitted) return
  const shown = reason.replace(/[^a-z-]/g, '')
  throw new HandshakeRefusedError(
    'refused-by-peer',
    `the peer refuses our certificate: ${shown || 'no reason given'}`,
  )
}

async function sayRefused(stream: MessageStream, error: unknown): Promise<void> {
  const reason = error instanceof HandshakeRefusedError ? error.reason : 'malformed'
  try {
    stream.send(encodeFrame(new FieldWriter().bool(1, false).string(2, reason).finishVersioned()))
    await stream.close({ signal: AbortSignal.timeout(farewellTimeoutMs) })
  } catch {
    // The connection is dropped in any case.
  }
}

async function receive(
  stream: MessageStream,
  maxFrameSizeBytes: number,
  signal: AbortSignal,
): Promise<Uint8Array> {
  try {
    return await readFirstFrame(stream, { maxFrameSizeBytes, signal })
  } catch (error) {
    if (error instanceof StarlingError) throw new HandshakeRefusedError('too-large', error.message, error)
    if (signal.aborted) throw new HandshakeRefusedError('silent', 'it sent no certificate in time', error)
    throw new HandshakeRefusedError(
      'closed',
      'it closed the connection during the certificate exchange',
      error,
    )
  }
}

function decode(bytes: Uint8Array, visit: Parameters<typeof readVersioned>[1]): void {
  try {
    readVersioned(bytes, visit)
  } catch (error) {
    throw new HandshakeRefusedError('malformed', 'its certificate exchange does not decode', error)
  }
}

function opposite(role: ChannelRole): ChannelRole {
  return role === 'dialer' ? 'listener' : 'dialer'
}
