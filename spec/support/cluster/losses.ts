import type { ClusterNode } from './node-process.ts'

/** That one node holds another one for dead or stalled, by its own log; `atMs`: milliseconds since 1970. */
export interface Loss {
  readonly viewer: string
  readonly lost: string
  readonly atMs: number
}

/** Every loss of this kind that these nodes wrote into their logs since a time (milliseconds since 1970). */
export function losses(viewers: readonly ClusterNode[], to: 'dead' | 'stalled', sinceMs = 0): Loss[] {
  return viewers.flatMap((viewer) =>
    viewer
      .logs()
      .filter((line) => line.msg === 'a member is lost' && line.to === to)
      .map(({ name, time }) => ({ viewer: viewer.name, lost: String(name), atMs: Date.parse(time) }))
      .filter(({ atMs }) => atMs >= sinceMs),
  )
}

/** Does each of `viewers` hold each of `others` for lost in this way, by its log since then? */
export function allLost(
  viewers: readonly ClusterNode[],
  others: readonly ClusterNode[],
  to: 'dead' | 'stalled',
  sinceMs: number,
): boolean {
  const known = new Set(losses(viewers, to, sinceMs).map(({ viewer, lost }) => `${viewer} ${lost}`))
  return viewers.every((viewer) => others.every((other) => known.has(`${viewer.name} ${other.name}`)))
}
