/** A reference that a pattern may meet: host, repository and tag at their longest. */
const maxSubjectLength = 640
const maxPatternLength = 256
/** Steps that one match may take at worst; some milliseconds. */
const maxSteps = 2 ** 21

interface Cost {
  choices: number
  bars: number
}

/** Length of the escape, character class or single character at `at`; a text says why it is refused. */
function atomLength(pattern: string, at: number): number | string {
  const char = pattern[at]
  if (char === '\\') {
    const next = pattern[at + 1] ?? ''
    if (/[1-9k]/.test(next)) return 'back-references are not allowed'
    return next === '' ? 'it ends with a backslash' : 2
  }
  if (char !== '[') return 1
  for (let end = at + 1; end < pattern.length; end += 1) {
    if (pattern[end] === '\\') end += 1
    else if (pattern[end] === ']') return end + 1 - at
  }
  return 'a [ is not closed'
}

/** Ways in which a quantifier can match; `length` is 0 where there is none. */
function quantifierAt(pattern: string, at: number): { length: number; ways: number } {
  const match = /^(?:[*+?]|\{(\d+)(,(\d*))?\})\??/.exec(pattern.slice(at))
  if (match === null) return { length: 0, ways: 1 }
  const [text, low, comma, high] = match
  if (text.startsWith('?')) return { length: text.length, ways: 2 }
  if (low === undefined || high === '') return { length: text.length, ways: maxSubjectLength }
  return { length: text.length, ways: comma === undefined ? 1 : Math.max(1, Number(high) - Number(low) + 1) }
}

/**
 * Why a regular expression is refused; undefined where it may be used. A backtracking engine can take time exponential in
 * the subject, so only patterns pass whose number of ways to match is small: no repeated groups, no look-around, no
 * back-references, and few repetitions. `^` saves trying every start.
 */
export function patternProblem(pattern: string): string | undefined {
  if (pattern === '') return 'it is empty and would match everything'
  if (pattern.length > maxPatternLength) return `it is longer than ${maxPatternLength} characters`
  try {
    new RegExp(pattern)
  } catch {
    return 'it is not a valid regular expression'
  }
  const groups: Cost[] = []
  let current: Cost = { choices: 1, bars: 0 }
  let at = 0
  while (at < pattern.length) {
    const char = pattern[at]
    let closes = false
    if (char === '(') {
      if (pattern.startsWith('(?', at) && !pattern.startsWith('(?:', at))
        return 'look-around and named groups are not allowed'
      groups.push(current)
      current = { choices: 1, bars: 0 }
      at += pattern.startsWith('(?:', at) ? 3 : 1
      continue
    }
    if (char === '|') {
      current.bars += 1
      at += 1
      continue
    }
    if (char === ')') {
      const outer = groups.pop()
      if (outer === undefined) return 'it is not a valid regular expression'
      current = { choices: outer.choices * current.choices * (current.bars + 1), bars: outer.bars }
      closes = true
      at += 1
    } else {
      const length = atomLength(pattern, at)
      if (typeof length === 'string') return length
      at += length
    }
    const { length, ways } = quantifierAt(pattern, at)
    if (closes && length > 0 && pattern[at] !== '?') return 'a group must not be repeated'
    current.choices *= ways
    at += length
  }
  const anchored = pattern.startsWith('^') && current.bars === 0
  const steps = current.choices * (current.bars + 1) * (anchored ? 1 : maxSubjectLength)
  return steps > maxSteps ? 'it could take very long: it has too many repetitions' : undefined
}
