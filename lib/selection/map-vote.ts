/** The chunk map that one holder stands for. */
export interface MapClaim<P> {
  readonly peer: P
  /** Equal for equal maps. */
  readonly key: string
}

export type MapVerdict<P> =
  /** More claim this map than any other. `against` stand for another one. */
  | {
      readonly type: 'agreed'
      readonly key: string
      readonly backers: readonly P[]
      readonly against: readonly P[]
    }
  /** No map has more claims than every other one: nobody can say who is right. */
  | { readonly type: 'tied' }
  /** Nobody but one holder has a map: its word proves nothing. */
  | { readonly type: 'too-few' }

/** Which of the maps that holders claim is gone by: the one that most agree on. */
export function voteOnMaps<P>(claims: readonly MapClaim<P>[]): MapVerdict<P> {
  if (claims.length < 2) return { type: 'too-few' }
  const byKey = new Map<string, P[]>()
  for (const { peer, key } of claims) {
    const backers = byKey.get(key)
    if (backers === undefined) byKey.set(key, [peer])
    else backers.push(peer)
  }
  const [first, second] = [...byKey].sort((a, b) => b[1].length - a[1].length)
  if (first === undefined || first[1].length === second?.[1].length) return { type: 'tied' }
  const [key, backers] = first
  const against = claims.filter((claim) => claim.key !== key).map((claim) => claim.peer)
  return { type: 'agreed', key, backers, against }
}
