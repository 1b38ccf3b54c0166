import { isRepository } from '../core/reference.ts'

/** A pattern over repository names and what replaces the match, in the syntax of Go's `regexp`. */
export interface Rewrite {
  readonly pattern: string
  readonly replacement: string
}

const maxPatternLength = 1024
const maxRepeat = 1000

/** Patterns that match any name as a whole, by the group that holds it. */
const wholeName: ReadonlyMap<string, readonly string[]> = new Map(
  ['.*', '.+'].flatMap((any) =>
    ['', '^'].flatMap((start) =>
      ['', '$'].flatMap((end): [pattern: string, groups: string[]][] => [
        [`${start}(${any})${end}`, ['$1', `\${1}`, '$0', `\${0}`]],
        [`${start}${any}${end}`, ['$0', `\${0}`]],
      ]),
    ),
  ),
)

/**
 * The prefix that a rewrite puts in front of every name (`^(.*)$` → `prefix/$1`); undefined for any other rewrite.
 */
export function prefixOf({ pattern, replacement }: Rewrite): string | undefined {
  const tail =
    pattern === '^' ? '' : wholeName.get(pattern)?.find((group) => replacement.endsWith(`/${group}`))
  if (tail === undefined) return undefined
  const prefix = replacement.slice(0, replacement.length - tail.length)
  return prefix.endsWith('/') && isRepository(prefix.slice(0, -1)) ? prefix.slice(0, -1) : undefined
}

/**
 * Why containerd could not use a pattern; undefined where it can. The pattern is only read here, never run: Go's
 * engine takes time linear in its subject (RE2), JavaScript's does not.
 */
export function rewriteProblem({ pattern }: Rewrite): string | undefined {
  if (pattern.length > maxPatternLength) return `it is longer than ${maxPatternLength} characters`
  if (/\(\?(?:=|!|<=|<!)/.test(pattern)) return 'look-around is not known there'
  if (/(?<!\\)(?:\\\\)*\\[1-9]/.test(pattern)) return 'back-references are not known there'
  for (const [, low, high] of pattern.matchAll(/(?<!\\)\{(\d+)(?:,(\d*))?\}/g)) {
    if (Number(low) > maxRepeat || Number(high ?? 0) > maxRepeat)
      return `it repeats more than ${maxRepeat} times`
  }
  const asJavaScript = pattern
    .replaceAll('(?P<', '(?<')
    .replaceAll(/\(\?[imsU]*(?:-[imsU]+)?([:)])/g, (_, end: string) => (end === ')' ? '' : '(?:'))
  try {
    new RegExp(asJavaScript)
    return undefined
  } catch {
    return 'it is not a valid regular expression'
  }
}
