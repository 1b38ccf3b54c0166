import { createHash, type Hash } from 'node:crypto'
import type { Digest } from '../core/digest.ts'

/** Whole bodies up to this size are checked before their first byte leaves. */
export const maxBufferedSizeBytes = 4 * 2 ** 20
/** Of larger ones this much is held back until the digest is right. */
export const heldTailSizeBytes = 64 * 2 ** 10

/**
 * Hashes a body as it passes and holds back its end, or all of it, until the digest is known to be right. A part of a body
 * can't be checked: it passes.
 */
export class BodyCheck {
  readonly #digest: Digest
  readonly #hash: Hash | undefined
  readonly #holdFrom: number
  #offset = 0
  #held: Uint8Array[] = []

  constructor(digest: Digest, body: { sizeBytes: number; start: number; end: number }) {
    const whole = body.start === 0 && body.end === body.sizeBytes - 1
    this.#digest = digest
    this.#hash = whole ? createHash('sha256') : undefined
    if (!whole) this.#holdFrom = Number.POSITIVE_INFINITY
    else if (body.sizeBytes <= maxBufferedSizeBytes) this.#holdFrom = 0
    else this.#holdFrom = body.sizeBytes - heldTailSizeBytes
  }

  /** True where the digest of the whole is checked. */
  get checks(): boolean {
    return this.#hash !== undefined
  }

  /** Takes the next bytes; returns those that may go out now. What is held is kept by reference. */
  pass(chunk: Uint8Array): Uint8Array | undefined {
    this.#hash?.update(chunk)
    const free = Math.max(0, Math.min(chunk.length, this.#holdFrom - this.#offset))
    this.#offset += chunk.length
    if (free < chunk.length) this.#held.push(chunk.subarray(free))
    return free === 0 ? undefined : free === chunk.length ? chunk : chunk.subarray(0, free)
  }

  /** To be called once, after the last byte: what was held, or undefined where the digest is wrong. */
  finish(): readonly Uint8Array[] | undefined {
    const right = this.#hash === undefined || `sha256:${this.#hash.digest('hex')}` === this.#digest
    const held = this.#held
    this.#held = []
    return right ? held : undefined
  }
}
