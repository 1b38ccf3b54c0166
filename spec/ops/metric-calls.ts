import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

/** One place in the source that counts, observes or sets a metric. */
export interface MetricCall {
  readonly file: string
  readonly type: 'counter' | 'histogram' | 'gauge'
  readonly name: string
  /** Names of its labels; undefined where they are not written out at the call. */
  readonly labels: readonly string[] | undefined
}

const types = { count: 'counter', observe: 'histogram', set: 'gauge' } as const

/** The arguments of a call, from the text after its opening parenthesis. */
function argumentsIn(text: string): string[] {
  const list: string[] = []
  let depth = 0
  let start = 0
  let quote = ''
  for (let at = 0; at < text.length; at += 1) {
    const char = text[at] ?? ''
    if (quote !== '') {
      if (char === '\\') at += 1
      else if (char === quote) quote = ''
    } else if (`'"\``.includes(char)) quote = char
    else if ('([{'.includes(char)) depth += 1
    else if (')]}'.includes(char)) {
      if (depth === 0)
        return [...list, text.slice(start, at)].map((part) => part.trim()).filter((part) => part !== '')
      depth -= 1
    } else if (char === ',' && depth === 0) {
      list.push(text.slice(start, at))
      start = at + 1
    }
  }
  return list
}

function labelsIn(argument: string | undefined): string[] | undefined {
  if (argument === undefined || argument === '{}') return []
  if (!argument.startsWith('{')) return undefined
  return argumentsIn(`${argument.slice(1, -1)})`).map((part) => /^\w+/.exec(part)?.[0] ?? part)
}

const root = join(import.meta.dirname, '..', '..')

function sources(): { file: string; text: string }[] {
  return globSync('lib/**/*.ts', { cwd: root })
    .filter((file) => !file.endsWith('metric-table.ts'))
    .map((file) => ({ file, text: readFileSync(join(root, file), 'utf8') }))
}

/** Every call in lib/ whose metric is written out. */
export function metricCalls(): MetricCall[] {
  return sources().flatMap(({ file, text }) =>
    [...text.matchAll(/\.(count|observe|set)\(\s*'(starling_[a-z0-9_]+)'/g)].map((match) => {
      const method = match[1] as keyof typeof types
      const list = argumentsIn(text.slice(match.index + match[0].indexOf('(') + 1))
      const labels = labelsIn(list[method === 'count' ? 1 : 2])
      return { file, type: types[method], name: match[2] ?? '', labels }
    }),
  )
}

/** Every metric that is named in a string anywhere in lib/. */
export function metricNames(): Set<string> {
  return new Set(
    sources().flatMap(({ text }) =>
      [...text.matchAll(/'(starling_[a-z0-9_]+)'/g)].map((match) => match[1] ?? ''),
    ),
  )
}
