import { createCipheriv, createDecipheriv, hash, type KeyObject, sign, verify } from 'node:crypto'
import { LRUCache } from 'lru-cache'
import type { Keyring, Psk } from '../core/credentials.ts'
import { StarlingError } from '../core/errors.ts'
import { maxDatagramSizeBytes } from '../core/messaging.ts'
import { type PeerId, peerIdFromPublicKey } from '../core/peer-id.ts'
import {
  bootSaltSizeBytes,
  type DatagramHeader,
  datagramKey,
  datagramVersion,
  headerSizeBytes,
  keyIdOf,
  maxBodySizeBytes,
  minDatagramSizeBytes,
  nonceOf,
  readHeader,
  signedText,
  tagSizeBytes,
  writeHeader,
} from './datagram-format.ts'
import { ed25519PublicKey, ed25519SignatureSizeBytes } from './key-signature.ts'
import { ReplayWindow } from './replay-window.ts'

const cipherName = 'aes-256-gcm'
const cipherOptions = { authTagLength: tagSizeBytes }
/** Datagrams under one key, far below AES-GCM's limits (NIST SP 800-38D §8.3). */
const defaultMaxCounter = 2 ** 32
const defaultMaxSenders = 20_000
/** Boots of one sender that are remembered at once. */
const maxSaltsPerSender = 4

export interface DatagramSealerOptions {
  /** Raw 32 bytes of the Ed25519 public key. */
  readonly publicKey: Uint8Array
  readonly privateKey: KeyObject
  readonly keyring: () => Keyring
  /** 16 random bytes, fresh at every start of the process: they keep nonces from being used twice. */
  readonly bootSalt: Uint8Array
  /** Datagrams before the salt is replaced. */
  readonly maxCounter?: number
}

/** Seals and signs what this node sends. Synchronous. */
export class DatagramSealer {
  readonly #options: DatagramSealerOptions
  readonly #maxCounter: number
  #salt: Uint8Array
  #counter = 0
  #key: { readonly psk: Psk; readonly bytes: Buffer } | undefined

  /** @throws RangeError where the salt does not have 16 bytes */
  constructor(options: DatagramSealerOptions) {
    if (options.bootSalt.length !== bootSaltSizeBytes) {
      throw new RangeError(`a boot salt has ${bootSaltSizeBytes} bytes, not ${options.bootSalt.length}`)
    }
    this.#options = options
    this.#salt = Uint8Array.from(options.bootSalt)
    this.#maxCounter = options.maxCounter ?? defaultMaxCounter
  }

  /** @throws StarlingError FRAME_TOO_LARGE where the body leaves no room for header, signature and tag */
  seal(body: Uint8Array): Uint8Array {
    if (body.length > maxBodySizeBytes) {
      const message = `a datagram carries at most ${maxBodySizeBytes} bytes, not ${body.length}`
      throw new StarlingError('FRAME_TOO_LARGE', message)
    }
    const { publicKey, privateKey } = this.#options
    const psk = this.#options.keyring()[0]
    const counter = this.#nextCounter()
    const header = writeHeader({ keyId: keyIdOf(psk), publicKey, salt: this.#salt, counter })
    const cipher = createCipheriv(cipherName, this.#keyFor(psk), nonceOf(header), cipherOptions)
    cipher.setAAD(header)
    const signature = sign(null, signedText(header, body), privateKey)
    const sealed = cipher.update(Buffer.concat([signature, body]))
    cipher.final()
    return Buffer.concat([header, sealed, cipher.getAuthTag()])
  }

  #nextCounter(): number {
    if (this.#counter >= this.#maxCounter) {
      this.#salt = hash(
        'sha256',
        Buffer.concat([Buffer.from('starling/1/salt\0'), this.#salt]),
        'buffer',
      ).subarray(0, bootSaltSizeBytes)
      this.#counter = 0
      this.#key = undefined
    }
    const counter = this.#counter
    this.#counter += 1
    return counter
  }

  #keyFor(psk: Psk): Buffer {
    if (this.#key?.psk.id !== psk.id) {
      this.#key = { psk, bytes: datagramKey(psk, this.#options.publicKey, this.#salt) }
    }
    return this.#key.bytes
  }
}

/** Why a datagram is dropped; a closed set, fit for a metric's label. */
export type DatagramRefusal =
  | 'truncated'
  | 'oversized'
  | 'version'
  | 'unknown-key'
  | 'unattested'
  | 'unsealed'
  | 'bad-signature'
  | 'replayed'

export type OpenedDatagram =
  | { readonly ok: true; readonly from: PeerId; readonly body: Uint8Array }
  | { readonly ok: false; readonly reason: DatagramRefusal }

export interface DatagramOpenerOptions {
  readonly keyring: () => Keyring
  readonly isAttested: (peerId: PeerId) => boolean
  /** This node itself: its own datagrams, thrown back at it, count as replayed. */
  readonly self?: PeerId
  /** Senders whose keys and windows are kept; the one that was silent for longest makes room. */
  readonly maxSenders?: number
}

/** What is kept of one boot of a sender. */
interface Boot {
  readonly window: ReplayWindow
  keyId: number
  key: Buffer
}

interface Sender {
  readonly peerId: PeerId
  readonly publicKey: KeyObject
  /** By salt; the boot heard last is the last one. */
  readonly boots: Map<string, Boot>
}

/**
 * Opens datagrams and tells who signed them. Never throws. Checks go from the cheap to the dear, and nothing is
 * remembered of a datagram before its signature was good, so that strangers can't push out what is known of members.
 *
 * A datagram is opened once as long as its sender's boot is remembered (four of each sender, and none from before this
 * process started): what travels in datagrams must bear a repetition from an earlier boot, as SWIM's sequence
 * numbers and incarnations do.
 */
export class DatagramOpener {
  readonly #options: DatagramOpenerOptions
  readonly #senders: LRUCache<string, Sender>
  #ring: { readonly from: Keyring; readonly byId: ReadonlyMap<number, Psk> } | undefined

  constructor(options: DatagramOpenerOptions) {
    this.#options = options
    this.#senders = new LRUCache({ max: options.maxSenders ?? defaultMaxSenders })
  }

  open(bytes: Uint8Array): OpenedDatagram {
    if (bytes.length < minDatagramSizeBytes) return refused('truncated')
    if (bytes.length > maxDatagramSizeBytes) return refused('oversized')
    if (bytes[0] !== datagramVersion) return refused('version')
    const datagram = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
    const header = readHeader(datagram)
    // Beyond 2^53 numbers have gaps; no sealer counts that far.
    if (!Number.isSafeInteger(header.counter)) return refused('replayed')
    const psk = this.#pskOf(header.keyId)
    if (psk === undefined) return refused('unknown-key')
    const senderId = textOf(header.publicKey)
    const known = this.#senders.get(senderId)
    const peerId = known?.peerId ?? peerIdFromPublicKey(header.publicKey)
    if (!this.#options.isAttested(peerId)) return refused('unattested')
    if (peerId === this.#options.self) return refused('replayed')
    const boot = known?.boots.get(textOf(header.salt))
    if (boot?.window.seen(header.counter) === true) return refused('replayed')

    const key = boot?.keyId === header.keyId ? boot.key : datagramKey(psk, header.publicKey, header.salt)
    const opened = decrypt(datagram, key)
    if (opened === undefined) return refused('unsealed')
    const signature = opened.subarray(0, ed25519SignatureSizeBytes)
    const body = opened.subarray(ed25519SignatureSizeBytes)
    const publicKey = known?.publicKey ?? publicKeyOf(header.publicKey)
    const signed = signedText(datagram.subarray(0, headerSizeBytes), body)
    if (publicKey === undefined || !verify(null, signed, publicKey, signature))
      return refused('bad-signature')

    const sender = known ?? { peerId, publicKey, boots: new Map() }
    if (known === undefined) this.#senders.set(senderId, sender)
    remember(sender, header, key)
    return { ok: true, from: peerId, body }
  }

  #pskOf(keyId: number): Psk | undefined {
    const from = this.#options.keyring()
    if (this.#ring?.from !== from) {
      this.#ring = { from, byId: new Map(from.map((psk) => [keyIdOf(psk), psk])) }
    }
    return this.#ring.byId.get(keyId)
  }
}

function remember(sender: Sender, header: DatagramHeader, key: Buffer): void {
  const salt = textOf(header.salt)
  const boot = sender.boots.get(salt) ?? { window: new ReplayWindow(), keyId: header.keyId, key }
  boot.keyId = header.keyId
  boot.key = key
  boot.window.mark(header.counter)
  sender.boots.delete(salt)
  sender.boots.set(salt, boot)
  const [oldest] = sender.boots.keys()
  if (sender.boots.size > maxSaltsPerSender && oldest !== undefined) sender.boots.delete(oldest)
}

function decrypt(datagram: Buffer, key: Buffer): Buffer | undefined {
  const header = datagram.subarray(0, headerSizeBytes)
  const decipher = createDecipheriv(cipherName, key, nonceOf(header), cipherOptions)
  decipher.setAAD(header)
  decipher.setAuthTag(datagram.subarray(-tagSizeBytes))
  const opened = decipher.update(datagram.subarray(headerSizeBytes, -tagSizeBytes))
  try {
    decipher.final()
    return opened
  } catch {
    return undefined
  }
}

function publicKeyOf(raw: Uint8Array): KeyObject | undefined {
  try {
    return ed25519PublicKey(raw)
  } catch {
    return undefined
  }
}

function textOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1')
}

function refused(reason: DatagramRefusal): OpenedDatagram {
  return { ok: false, reason }
}
