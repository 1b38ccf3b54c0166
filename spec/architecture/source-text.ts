/** After one of these a slash begins a regular expression, not a division. */
const beforeRegex = /(?:^|[(,=:[!&|?{};+\-*%<>~^]|\b(?:return|typeof|case|of|in|void|delete|await|yield))\s*$/

function regexEnd(source: string, start: number): number {
  let inClass = false
  for (let at = start + 1; at < source.length; at += 1) {
    const char = source[at]
    if (char === '\n') return start + 1
    if (char === '\\') at += 1
    else if (char === '[') inClass = true
    else if (char === ']') inClass = false
    else if (char === '/' && !inClass) return at + 1
  }
  return source.length
}

function stringEnd(source: string, start: number): number {
  for (let at = start + 1; at < source.length; at += 1) {
    if (source[at] === '\\') at += 1
    else if (source[at] === source[start]) return at + 1
  }
  return source.length
}

/** End of the text part of a template literal: behind the closing backtick or behind an opening `${`. */
function templateEnd(source: string, start: number): number {
  for (let at = start + 1; at < source.length; at += 1) {
    if (source[at] === '\\') at += 1
    else if (source[at] === '`') return at + 1
    else if (source[at] === '$' && source[at + 1] === '{') return at + 2
  }
  return source.length
}

const blank = (text: string) => text.replace(/[^\n]/g, ' ')

/**
 * The source with every comment, and unless `keepStrings` the content of every string and regular expression, replaced
 * by blanks; line numbers stay. Code inside of template literals stays.
 */
export function blankText(source: string, keepStrings = false): string {
  let out = ''
  let at = 0
  const depths: number[] = []
  const take = (end: number, keep: boolean) => {
    const part = source.slice(at, end)
    out += keep ? part : blank(part)
    at = end
  }
  while (at < source.length) {
    const char = source[at]
    const two = source.slice(at, at + 2)
    if (two === '//') {
      const end = source.indexOf('\n', at)
      take(end === -1 ? source.length : end, false)
    } else if (two === '/*') {
      const end = source.indexOf('*/', at + 2)
      take(end === -1 ? source.length : end + 2, false)
    } else if (char === "'" || char === '"') {
      take(stringEnd(source, at), keepStrings)
    } else if (char === '/' && beforeRegex.test(out.slice(-40))) {
      take(regexEnd(source, at), keepStrings)
    } else if (char === '`' || (char === '}' && depths.at(-1) === 0)) {
      if (char === '}') depths.pop()
      const end = templateEnd(source, at)
      if (source[end - 1] === '{') depths.push(0)
      take(end, keepStrings)
    } else {
      const depth = depths.at(-1)
      if (depth !== undefined && char === '{') depths[depths.length - 1] = depth + 1
      if (depth !== undefined && char === '}') depths[depths.length - 1] = depth - 1
      take(at + 1, true)
    }
  }
  return out
}

const importPatterns = [
  /\b(?:import|export)\b(?:\s+type\b)?[\w\s{},*$]*?\bfrom\s*(['"])([^'"\n]+)\1/g,
  /\bimport\s*(['"])([^'"\n]+)\1/g,
  /\bimport\s*\(\s*(['"])([^'"\n]+)\1/g,
  /\bnew\s+URL\s*\(\s*(['"])([^'"\n]+\.ts)\1\s*,\s*import\.meta\.url/g,
]

/** Every module that a source names: static and dynamic imports, re-exports, and entry files of workers. */
export function importsOf(source: string): string[] {
  const code = blankText(source, true)
  const bare = blankText(source)
  const specifiers = importPatterns.flatMap((pattern) =>
    [...code.matchAll(pattern)]
      .filter((match) => bare[match.index] === code[match.index])
      .map((match) => match[2] ?? ''),
  )
  return [...new Set(specifiers)]
}
