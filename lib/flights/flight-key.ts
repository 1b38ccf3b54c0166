import type { Digest } from '../core/digest.ts'

/** What flies: a digest belongs to a registry, because each registry says for itself whether its blobs may. */
export interface FlightKey {
  readonly registry: string
  readonly digest: Digest
}

export function keyText({ registry, digest }: FlightKey): string {
  return `${registry} ${digest}`
}
