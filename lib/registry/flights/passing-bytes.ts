import { type Digest, digestToBytes } from '../../core/digest.ts'

/** What is kept of a body: more than a containerd has taken and not yet shown in its file (CONTAINERD.md, steps of 1 MiB). */
const defaultRingBytes = 3 * 2 ** 20
/** Bodies at once, more than a containerd pulls layers at once by default; further ones are given on from the file. */
const defaultRings = 4

/** Words of a ring's head. */
const word = { state: 0, owner: 1, opened: 2, base: 3, reserved: 4, end: 5, size: 6, digest: 7 } as const
const digestWords = 4
const headWords = word.digest + digestWords

const state = { free: 0n, taken: 1n, open: 2n, whole: 3n } as const

/** Memory that the threads of a node share: rings of bytes that pass through it, and a head for each. */
export interface PassingMemory {
  readonly heads: SharedArrayBuffer
  readonly rings: SharedArrayBuffer
}

/** Costs address space at once, and memory as far as it is used. */
export function createPassingMemory(rings = defaultRings, ringBytes = defaultRingBytes): PassingMemory {
  return {
    heads: new SharedArrayBuffer(rings * headWords * BigInt64Array.BYTES_PER_ELEMENT),
    rings: new SharedArrayBuffer(rings * ringBytes),
  }
}

/** A body on its way through this node, for whoever follows it. */
export interface PassingView {
  readonly sizeBytes: number
  /** More may come. */
  readonly open: boolean
  /** Offsets of the first byte that is kept, and of the one behind the last. */
  readonly floor: number
  readonly end: number
  /** Bytes that were copied; 0 where they are not kept (any more). */
  read(target: Uint8Array, offset: number): number
}

/**
 * The latest bytes of blobs that this node gets from a parent and gives its own client, so that a child has them
 * at once: the client's file shows them later, in large steps. Writers never wait: who falls behind goes on from the file.
 */
export class PassingBytes {
  readonly #heads: BigInt64Array
  readonly #bytes: Uint8Array
  readonly #ringBytes: number
  readonly #count: number
  readonly #thread: bigint

  /** What a former thread of this number had open is over. */
  constructor({ heads, rings }: PassingMemory, thread: number) {
    this.#heads = new BigInt64Array(heads)
    this.#bytes = new Uint8Array(rings)
    this.#count = this.#heads.length / headWords
    this.#ringBytes = this.#bytes.length / this.#count
    this.#thread = BigInt(thread)
    for (let ring = 0; ring < this.#count; ring++) {
      const held = this.#get(ring, word.state)
      const isMine = this.#get(ring, word.owner) === this.#thread
      if (isMine && (held === state.open || held === state.taken)) this.#set(ring, word.state, state.free)
    }
  }

  /** Undefined where all rings are in use, or this blob passes already. */
  open(digest: Digest, start: number, sizeBytes: number): PassingWriter | undefined {
    const words = digestWordsOf(digest)
    if (this.#find(words)?.open === true) return undefined
    const ring = this.#take()
    if (ring === undefined) return undefined
    const opened = this.#get(ring, word.opened) + 1n
    for (const [index, value] of words.entries()) this.#set(ring, word.digest + index, value)
    this.#set(ring, word.opened, opened)
    for (const name of ['base', 'reserved', 'end'] as const) this.#set(ring, word[name], BigInt(start))
    this.#set(ring, word.size, BigInt(sizeBytes))
    this.#set(ring, word.state, state.open)
    let end = start
    return {
      write: (chunk) => {
        for (let taken = 0; taken < chunk.length; ) {
          const at = end % this.#ringBytes
          const part = chunk.subarray(taken, taken + this.#ringBytes - at)
          // What is overwritten is given up before it is, so that nobody takes half of it for whole.
          this.#set(ring, word.reserved, BigInt(end + part.length))
          this.#bytes.set(part, ring * this.#ringBytes + at)
          end += part.length
          taken += part.length
          this.#set(ring, word.end, BigInt(end))
        }
      },
      close: (verified) => this.#set(ring, word.state, verified ? state.whole : state.free),
    }
  }

  find(digest: Digest): PassingView | undefined {
    return this.#find(digestWordsOf(digest))
  }

  /** `find` for one who asks often. */
  finder(digest: Digest): () => PassingView | undefined {
    const words = digestWordsOf(digest)
    return () => this.#find(words)
  }

  #find(words: readonly bigint[]): PassingView | undefined {
    for (let ring = 0; ring < this.#count; ring++) {
      const held = this.#get(ring, word.state)
      if (held !== state.open && held !== state.whole) continue
      const opened = this.#get(ring, word.opened)
      if (!words.every((value, index) => this.#get(ring, word.digest + index) === value)) continue
      const view = {
        sizeBytes: Number(this.#get(ring, word.size)),
        open: held === state.open,
        floor: this.#floor(ring),
        end: Number(this.#get(ring, word.end)),
        read: (target: Uint8Array, offset: number) => this.#read(ring, opened, target, offset),
      }
      if (this.#get(ring, word.opened) === opened) return view
    }
    return undefined
  }

  #read(ring: number, opened: bigint, target: Uint8Array, offset: number): number {
    const count = Math.min(target.length, Number(this.#get(ring, word.end)) - offset)
    if (count <= 0 || offset < this.#floor(ring)) return 0
    for (let copied = 0; copied < count; ) {
      const at = (offset + copied) % this.#ringBytes
      const length = Math.min(count - copied, this.#ringBytes - at)
      const from = ring * this.#ringBytes + at
      target.set(this.#bytes.subarray(from, from + length), copied)
      copied += length
    }
    const held = this.#get(ring, word.state)
    const isSame = this.#get(ring, word.opened) === opened && (held === state.open || held === state.whole)
    return isSame && offset >= this.#floor(ring) ? count : 0
  }

  #floor(ring: number): number {
    const kept = Number(this.#get(ring, word.reserved)) - this.#ringBytes
    return Math.max(Number(this.#get(ring, word.base)), kept)
  }

  /** One that was never used, or the whole body that came longest ago. */
  #take(): number | undefined {
    const rings = Array.from({ length: this.#count }, (_, ring) => ring)
    const age = (ring: number): number => Number(this.#get(ring, word.opened))
    for (const wanted of [state.free, state.whole]) {
      for (const ring of rings.toSorted((a, b) => age(a) - age(b))) {
        const index = ring * headWords + word.state
        if (Atomics.compareExchange(this.#heads, index, wanted, state.taken) !== wanted) continue
        this.#set(ring, word.owner, this.#thread)
        return ring
      }
    }
    return undefined
  }

  #get(ring: number, name: number): bigint {
    return Atomics.load(this.#heads, ring * headWords + name)
  }

  #set(ring: number, name: number, value: bigint): void {
    Atomics.store(this.#heads, ring * headWords + name, value)
  }
}

export interface PassingWriter {
  write(chunk: Uint8Array): void
  /** `verified`: the whole has its digest, and may be given on until the ring is needed. What is not verified is dropped. */
  close(verified: boolean): void
}

function digestWordsOf(digest: Digest): bigint[] {
  const bytes = digestToBytes(digest)
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  return Array.from({ length: digestWords }, (_, index) => view.getBigInt64(index * 8))
}
