/** Edits (insert, remove, replace, swap of neighbours) that turn one text into the other: Damerau–Levenshtein, restricted. */
export function editDistance(from: string, to: string): number {
  let beforeLast: number[] = []
  let last = Array.from({ length: to.length + 1 }, (_, index) => index)
  for (let i = 1; i <= from.length; i += 1) {
    const row = [i]
    for (let j = 1; j <= to.length; j += 1) {
      const same = from[i - 1] === to[j - 1]
      let best = Math.min((last[j] ?? 0) + 1, (row[j - 1] ?? 0) + 1, (last[j - 1] ?? 0) + (same ? 0 : 1))
      if (i > 1 && j > 1 && from[i - 1] === to[j - 2] && from[i - 2] === to[j - 1]) {
        best = Math.min(best, (beforeLast[j - 2] ?? 0) + 1)
      }
      row.push(best)
    }
    beforeLast = last
    last = row
  }
  return last[to.length] ?? 0
}

const plain = (text: string) => text.toLowerCase().replaceAll(/[-_ ]/g, '')

/** The known word that somebody probably meant; undefined where none is near. Case, `-` and `_` don't count. */
export function suggest(word: string, words: readonly string[]): string | undefined {
  const wanted = plain(word.slice(0, 64))
  let best: string | undefined
  let bestDistance = Math.max(1, Math.floor(wanted.length / 3)) + 1
  for (const candidate of words) {
    const known = plain(candidate)
    const isBeginning =
      Math.min(wanted.length, known.length) >= 3 && (wanted.startsWith(known) || known.startsWith(wanted))
    const distance = isBeginning ? 1 : editDistance(wanted, known)
    if (distance < bestDistance) {
      best = candidate
      bestDistance = distance
    }
  }
  return best
}
