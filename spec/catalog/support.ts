import { createHash, createPrivateKey, createPublicKey, type KeyObject, randomBytes } from 'node:crypto'
import { type Checkpoint, signCheckpoint } from '../../lib/catalog/checkpoint.ts'
import type { Delta } from '../../lib/catalog/delta.ts'
import { type ElementChange, packKeys, type TagPair, tagKey } from '../../lib/catalog/elements.ts'
import type { InventoryContent } from '../../lib/catalog/install.ts'
import { type Digest, digestToBytes } from '../../lib/core/digest.ts'
import { type PeerId, peerIdFromPublicKey } from '../../lib/core/peer-id.ts'

export interface Identity {
  readonly peerId: PeerId
  readonly publicKey: Uint8Array
  readonly privateKey: KeyObject
}

/** PKCS #8 of an Ed25519 key (RFC 8410 §7) up to the 32 bytes of the key itself. */
const pkcs8Head = Buffer.from('302e020100300506032b657004220420', 'hex')

/** A new identity, or always the same one for the same text. */
export function makeIdentity(seed?: string): Identity {
  const secret = seed === undefined ? randomBytes(32) : createHash('sha256').update(seed).digest()
  const der = Buffer.concat([pkcs8Head, secret])
  const privateKey = createPrivateKey({ key: der, format: 'der', type: 'pkcs8' })
  const jwk = createPublicKey(privateKey).export({ format: 'jwk' })
  const raw = new Uint8Array(Buffer.from(jwk.x ?? '', 'base64url'))
  return { peerId: peerIdFromPublicKey(raw), publicKey: raw, privateKey }
}

export function digestOf(content: string | number): Digest {
  return `sha256:${createHash('sha256').update(String(content)).digest('hex')}` as Digest
}

export function tagPair(repository: string, tag: string, digest: Digest): TagPair {
  return { repository, tag, digest }
}

export const registry = 'registry.example.com'

interface Element {
  readonly key: Uint8Array
  readonly pair: TagPair | undefined
}

/** The set hash as the design describes it, written a second time and as plainly as can be. */
export function referenceSetHash(elements: Iterable<Element>): Uint8Array {
  const sha = (...parts: (Uint8Array | string)[]) => {
    const hash = createHash('sha256')
    for (const part of parts) hash.update(part)
    return hash.digest()
  }
  const all = [...elements].sort((a, b) => Buffer.compare(a.key, b.key))
  const buckets = Array.from({ length: 64 }, (_, bucket) => {
    const here = all.filter((element) => element.key[0]! >> 2 === bucket)
    if (here.length === 0) return Buffer.alloc(32)
    const digests = here.filter((element) => element.pair === undefined)
    const tags = here.filter((element) => element.pair !== undefined)
    const count = Buffer.alloc(4)
    count.writeUInt32BE(digests.length)
    return sha('starling bucket 1\n', count, ...[...digests, ...tags].map((element) => element.key))
  })
  return sha('starling set 1\n', ...buckets)
}

/** An origin with its inventory in a plain map, which makes signed messages. */
export class TestOrigin {
  readonly identity: Identity
  readonly elements = new Map<string, Element>()
  epoch = 1
  sequence = 0

  constructor(identity = makeIdentity()) {
    this.identity = identity
  }

  get peerId(): PeerId {
    return this.identity.peerId
  }

  digests(): Set<Digest> {
    return new Set(
      [...this.elements.values()]
        .filter((element) => element.pair === undefined)
        .map((element) => `sha256:${Buffer.from(element.key).toString('hex')}` as Digest),
    )
  }

  pairs(): TagPair[] {
    return [...this.elements.values()].flatMap((element) =>
      element.pair === undefined ? [] : [element.pair],
    )
  }

  checkpoint(): Checkpoint {
    return signCheckpoint(
      registry,
      {
        epoch: this.epoch,
        sequence: this.sequence,
        setHash: referenceSetHash(this.elements.values()),
        count: this.elements.size,
      },
      this.identity.privateKey,
    )
  }

  /** Takes the next step and returns its message. */
  step(change: {
    add?: readonly Digest[]
    remove?: readonly Digest[]
    tag?: readonly TagPair[]
    untag?: readonly TagPair[]
  }): Delta {
    const digestKey = (digest: Digest) => `d${digest}`
    const pairKey = (pair: TagPair) => `t${pair.repository}:${pair.tag}@${pair.digest}`
    for (const digest of change.add ?? []) {
      this.elements.set(digestKey(digest), { key: digestToBytes(digest), pair: undefined })
    }
    for (const digest of change.remove ?? []) this.elements.delete(digestKey(digest))
    for (const pair of change.tag ?? []) this.elements.set(pairKey(pair), { key: tagKey(pair), pair })
    for (const pair of change.untag ?? []) this.elements.delete(pairKey(pair))
    this.sequence += 1
    const packed: ElementChange = {
      addDigests: packKeys((change.add ?? []).map(digestToBytes)),
      removeDigests: packKeys((change.remove ?? []).map(digestToBytes)),
      addTags: change.tag ?? [],
      removeTags: packKeys((change.untag ?? []).map(tagKey)),
    }
    return { registry, origin: this.identity.publicKey, checkpoint: this.checkpoint(), change: packed }
  }

  /** A restart: what was offered is offered again, told by a delta from nothing. */
  restart(): Delta {
    this.epoch += 1
    this.sequence = 0
    return this.step({ add: [...this.digests()], tag: this.pairs() })
  }

  bare(): Delta {
    return {
      registry,
      origin: this.identity.publicKey,
      checkpoint: this.checkpoint(),
      change: undefined,
    }
  }

  /** All of it, as a neighbour would send it. */
  content(): InventoryContent {
    const sorted = [...this.elements.values()].sort((a, b) => Buffer.compare(a.key, b.key))
    return {
      digests: packKeys(sorted.filter((element) => element.pair === undefined).map(({ key }) => key)),
      tags: sorted.flatMap(({ pair }) => (pair === undefined ? [] : [pair])),
      buckets: undefined,
    }
  }
}
