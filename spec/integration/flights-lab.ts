import assert from 'node:assert/strict'
import type { Digest } from '../../lib/core/digest.ts'
import type { FlightView, StatusView } from '../../lib/core/ops-view.ts'
import { eventually } from '../support/eventually.ts'
import { buildImage, type PlatformImage, type TestImage } from '../support/oci-image.ts'
import { ingestedBytes, type Lab, type LabNode, registry, wrongBlobs } from './containerd-lab.ts'

export const mib = 2 ** 20
let images = 0

/** Pushes an image that nobody has; `big` is its first layer, the large one. */
export async function newImage(
  lab: Lab,
  sizeBytes: number,
): Promise<{ name: string; image: PlatformImage; big: Digest }> {
  const target = `team/new:${++images}`
  const layers = [{ sizeBytes }, { sizeBytes: 2 * mib }, { sizeBytes: 2000 }]
  const image = await buildImage({ seed: target, layers })
  await lab.push(target, image)
  lab.upstream.forget()
  const big = image.layers[0]?.digest
  assert.ok(big)
  return { name: `${registry}/${target}`, image, big }
}

export function sizeOf(image: TestImage): number {
  return [...image.blobs.values()].reduce((sum, { descriptor }) => sum + descriptor.size, 0)
}

export function sentByUpstream(lab: Lab): number {
  return lab.upstream.requests().reduce((sum, { bytes }) => sum + bytes, 0)
}

export async function flightsOf({ starling }: LabNode): Promise<readonly FlightView[]> {
  return (await starling.ops<StatusView>('status')).flights ?? []
}

/** The node that fetches the blob from upstream, once it has so much of it. */
export function leaderOf(
  digest: Digest,
  nodes: readonly LabNode[],
  reachedBytes = 2 * mib,
): Promise<LabNode> {
  return eventually(
    async () => {
      for (const node of nodes) {
        if ((await ingestedBytes(node.containerd, digest)) < reachedBytes) continue
        const flights = await flightsOf(node)
        if (flights.some((flight) => flight.digest === digest && flight.role === 'lead')) return node
      }
      return undefined
    },
    { what: 'somebody leads', timeoutMs: 60_000 },
  )
}

/** `pulled`, or what went wrong. */
export function outcome(pull: Promise<unknown>): Promise<string> {
  return pull.then(
    () => 'pulled',
    (error: unknown) => String(error),
  )
}

export async function rightEverywhere(nodes: readonly LabNode[], image: TestImage): Promise<void> {
  for (const { containerd } of nodes) assert.deepEqual(await wrongBlobs(containerd, image), [])
}
