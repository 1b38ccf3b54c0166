const prime1 = 2654435761
const prime2 = 2246822519
const prime3 = 3266489917
const prime4 = 668265263
const prime5 = 374761393

function rotate(value: number, bits: number): number {
  return (value << bits) | (value >>> (32 - bits))
}

/** The 32-bit xxHash of pieces that follow one another (xxHash specification, "XXH32"), with seed 0. */
export class Xxh32 {
  readonly #lanes = new Int32Array([prime1 + prime2, prime2, 0, -prime1])
  readonly #pending = new Uint8Array(16)
  #pendingLength = 0
  #total = 0

  update(bytes: Uint8Array): this {
    this.#total += bytes.length
    let at = 0
    if (this.#pendingLength > 0) {
      at = Math.min(16 - this.#pendingLength, bytes.length)
      this.#pending.set(bytes.subarray(0, at), this.#pendingLength)
      this.#pendingLength += at
      if (this.#pendingLength < 16) return this
      this.#stripes(this.#pending, 0)
      this.#pendingLength = 0
    }
    at = this.#stripes(bytes, at)
    this.#pending.set(bytes.subarray(at))
    this.#pendingLength = bytes.length - at
    return this
  }

  /** An unsigned number. */
  digest(): number {
    const [a = 0, b = 0, c = 0, d = 0] = this.#lanes
    let hash = this.#total >= 16 ? rotate(a, 1) + rotate(b, 7) + rotate(c, 12) + rotate(d, 18) : prime5
    hash = (hash + this.#total) | 0
    const rest = this.#pending.subarray(0, this.#pendingLength)
    let at = 0
    for (; at + 4 <= rest.length; at += 4)
      hash = Math.imul(rotate((hash + Math.imul(word(rest, at), prime3)) | 0, 17), prime4)
    for (; at < rest.length; at += 1)
      hash = Math.imul(rotate((hash + Math.imul(rest[at] ?? 0, prime5)) | 0, 11), prime1)
    hash = Math.imul(hash ^ (hash >>> 15), prime2)
    hash = Math.imul(hash ^ (hash >>> 13), prime3)
    return (hash ^ (hash >>> 16)) >>> 0
  }

  /** Takes all whole stripes of 16 bytes; returns where they end. */
  #stripes(bytes: Uint8Array, from: number): number {
    let [a = 0, b = 0, c = 0, d = 0] = this.#lanes
    let at = from
    for (; at + 16 <= bytes.length; at += 16) {
      a = Math.imul(rotate((a + Math.imul(word(bytes, at), prime2)) | 0, 13), prime1)
      b = Math.imul(rotate((b + Math.imul(word(bytes, at + 4), prime2)) | 0, 13), prime1)
      c = Math.imul(rotate((c + Math.imul(word(bytes, at + 8), prime2)) | 0, 13), prime1)
      d = Math.imul(rotate((d + Math.imul(word(bytes, at + 12), prime2)) | 0, 13), prime1)
    }
    this.#lanes.set([a, b, c, d])
    return at
  }
}

function word(bytes: Uint8Array, at: number): number {
  return (
    (bytes[at] ?? 0) |
    ((bytes[at + 1] ?? 0) << 8) |
    ((bytes[at + 2] ?? 0) << 16) |
    ((bytes[at + 3] ?? 0) << 24)
  )
}
