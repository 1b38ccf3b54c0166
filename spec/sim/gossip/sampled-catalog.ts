import assert from 'node:assert/strict'
import { applyDelta } from '../../../lib/catalog/apply-delta.ts'
import { publicKeyObject, sameBytes, verifyCheckpoint } from '../../../lib/catalog/checkpoint.ts'
import { comparisonFrames, hashOrigins } from '../../../lib/catalog/comparison.ts'
import { decodeDelta } from '../../../lib/catalog/delta.ts'
import { HeldDeltas } from '../../../lib/catalog/held-deltas.ts'
import { createReplicaState, type ReplicaState } from '../../../lib/catalog/replica-state.ts'
import { encodeRequest } from '../../../lib/catalog/sync-request.ts'
import { type PeerId, peerIdFromPublicKey } from '../../../lib/core/peer-id.ts'
import { registry, type TestOrigin } from '../../catalog/support.ts'

/** The shipped replica of one node among many, which takes the messages as they reach that node. */
export class SampledCatalog {
  readonly state: ReplicaState
  readonly #held = new HeldDeltas()
  readonly #outcomes: string[] = []

  constructor(self: PeerId, origins: Iterable<PeerId>) {
    this.state = createReplicaState(registry, self, 1)
    for (const origin of origins) if (origin !== self) this.state.origins.add(origin)
  }

  receive(bytes: Uint8Array): void {
    const delta = decodeDelta(bytes)
    assert.ok(typeof delta === 'object')
    const origin = peerIdFromPublicKey(delta.origin)
    const entry = this.state.origins.get(origin)
    assert.ok(
      entry !== undefined && verifyCheckpoint(registry, delta.checkpoint, publicKeyObject(delta.origin)),
    )
    const before = entry.checkpoint
    const outcome = applyDelta(this.state, entry, delta.checkpoint, delta.change)
    this.#outcomes.push(`${origin.slice(-6)} ${delta.checkpoint.sequence} ${outcome}`)
    if (outcome === 'gap') this.#held.hold(origin, delta)
    while (entry.checkpoint !== undefined) {
      const next = this.#held.take(origin, entry.checkpoint)
      if (next === undefined) break
      applyDelta(this.state, entry, next.checkpoint, next.change)
    }
    const isBack = before !== undefined && entry.checkpoint!.sequence < before.sequence
    assert.ok(!isBack, `I6: the sequence of ${origin} ran backwards\n${this.trace()}`)
  }

  /**
   * I1 and I2: what this node knows of each origin is what that has signed last, all of it and nothing else; the hash
   * over the set says so. @throws AssertionError with what the node was told last
   */
  assertKnows(origins: Iterable<TestOrigin>): void {
    for (const origin of origins) {
      const known = this.state.origins.get(origin.peerId)?.checkpoint
      const signed = origin.checkpoint()
      const isEqual = known?.sequence === signed.sequence && sameBytes(known.setHash, signed.setHash)
      const what = `${origin.peerId} at ${known?.sequence}, which is at ${signed.sequence}`
      assert.ok(isEqual, `I1: a node knows ${what}\n${this.trace()}`)
    }
  }

  trace(): string {
    return `the last messages of the node:\n${this.#outcomes.slice(-40).join('\n')}`
  }

  /** Bytes of a comparison with a neighbour that knows the same. */
  comparisonBytes(): number {
    const origins = hashOrigins(this.state)
    const request = encodeRequest({ kind: 'compare', registry, origins, answering: false })
    return [request, ...comparisonFrames(this.state, origins)].reduce((sum, frame) => sum + frame.length, 0)
  }
}
