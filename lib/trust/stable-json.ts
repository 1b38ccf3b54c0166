import { hash } from 'node:crypto'

/** JSON with sorted keys: the same value has the same text on every machine. */
export function stableJson(value: unknown): string {
  return JSON.stringify(value, (_key, inner: unknown) => {
    if (typeof inner !== 'object' || inner === null || Array.isArray(inner)) return inner
    return Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1)))
  })
}

/** SHA-256 of the stable JSON, as hex. */
export function jsonHash(value: unknown): string {
  return hash('sha256', stableJson(value), 'hex')
}
