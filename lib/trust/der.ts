/** A value of DER (X.690). */
export interface DerElement {
  readonly tag: number
  readonly content: Uint8Array
}

export const derTags = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  objectId: 0x06,
  utcTime: 0x17,
  generalizedTime: 0x18,
  sequence: 0x30,
  /** `[0] EXPLICIT` and `[3] EXPLICIT`: version and extensions of a certificate. */
  version: 0xa0,
  extensions: 0xa3,
} as const

/**
 * The elements of a constructed value, definite lengths only (X.690 §8.1, §10.1).
 * @throws RangeError where a length is malformed or leads beyond the end
 */
export function derElements(bytes: Uint8Array): DerElement[] {
  const found: DerElement[] = []
  let at = 0
  while (at < bytes.length) {
    const tag = bytes[at] as number
    let length = bytes[at + 1]
    let start = at + 2
    if (length !== undefined && length >= 0x80) {
      const count = length & 0x7f
      if (count === 0 || count > 4) throw new RangeError('DER length')
      length = 0
      for (const byte of bytes.subarray(start, start + count)) length = length * 256 + byte
      start += count
    }
    if (length === undefined || start + length > bytes.length) throw new RangeError('DER is truncated')
    const end = start + length
    found.push({ tag, content: bytes.subarray(start, end) })
    at = end
  }
  return found
}

/** One value: its tag, its length in as few bytes as it takes, and its content, whose parts are put together. */
export function der(tag: number, ...content: readonly Uint8Array[]): Uint8Array {
  const length = content.reduce((sum, part) => sum + part.length, 0)
  const lengthBytes: number[] = []
  for (let rest = length; rest > 0; rest = Math.floor(rest / 256)) lengthBytes.unshift(rest % 256)
  const head = length < 0x80 ? [tag, length] : [tag, 0x80 | lengthBytes.length, ...lengthBytes]
  return Buffer.concat([Uint8Array.from(head), ...content])
}
