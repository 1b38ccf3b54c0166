import { isAlias, isMap, isScalar, isSeq, LineCounter, type Node, type Pair, parseDocument } from 'yaml'
import { type ErrorCode, StarlingError, StarlingErrors } from '../core/errors.ts'
import { decodeText } from './text-source.ts'
import { describeYamlProblem, starProblem, unquotedStarAt } from './yaml-problem.ts'

/** Values that a file may hold, those counted that aliases repeat. */
const maxValues = 100_000
const maxDepth = 32
const maxReported = 20

export interface YamlPlace {
  readonly line: number
  readonly column: number
}

/** A YAML file as plain values, and where each stands. */
export interface YamlSource {
  /** Objects have no prototype; undefined where the file is empty or holds only comments. */
  readonly value: unknown
  /** Place of the value, or the key, at a JSON pointer (RFC 6901). */
  placeOf(pointer: string, part: 'key' | 'value'): YamlPlace | undefined
}

export function pointerTo(parent: string, key: string | number): string {
  return `${parent}/${String(key).replaceAll('~', '~0').replaceAll('/', '~1')}`
}

/** Orders errors by place, drops repetitions and keeps the first twenty; throws nothing for an empty list. */
export function throwAll(errors: readonly StarlingError[]): void {
  const seen = new Set<string>()
  const sorted = errors
    .toSorted(
      (a, b) =>
        (a.position?.line ?? 0) - (b.position?.line ?? 0) ||
        (a.position?.column ?? 0) - (b.position?.column ?? 0),
    )
    .filter((error) => !seen.has(error.format()) && seen.add(error.format()))
  const [first, ...more] = sorted.slice(0, maxReported)
  if (first === undefined) return
  if (more.length === 0) throw first
  if (sorted.length > maxReported) {
    const rest = sorted.length - maxReported
    more.push(
      new StarlingError(first.code, `${rest} more ${rest === 1 ? 'error' : 'errors'} not shown`, {
        position: first.position === undefined ? undefined : { file: first.position.file },
      }),
    )
  }
  throw new StarlingErrors([first, ...more])
}

/** Turns nodes into plain values within bounds; collects what a configuration file must not hold. */
class Reader {
  readonly places = new Map<string, { key?: number; value: number }>()
  readonly problems: { at: number; message: string; hint: string }[] = []
  readonly #anchors: ReadonlyMap<string, Node>
  #values = 0

  constructor(anchors: ReadonlyMap<string, Node>) {
    this.#anchors = anchors
  }

  read(node: Node | null | undefined, pointer: string, depth: number, at: number): unknown {
    if (this.#values > maxValues) return null
    this.#values += 1
    const start = node?.range?.[0] ?? at
    this.places.set(pointer, { ...this.places.get(pointer), value: start })
    if (this.#values > maxValues) {
      return this.#refuse(
        start,
        'the file holds too many values: aliases (*name) multiply them',
        'write the values out',
      )
    }
    if (depth > maxDepth)
      return this.#refuse(start, `values are nested more than ${maxDepth} deep`, 'flatten them')
    if (isAlias(node)) {
      const target = this.#anchors.get(node.source)
      if (target !== undefined) return this.read(target, pointer, depth + 1, start)
      if (node.source === ':') return this.#refuse(start, starProblem.message, starProblem.hint)
      const hint = 'put the value in quotes if it starts with *'
      return this.#refuse(start, `there is no anchor &${node.source} for *${node.source}`, hint)
    }
    if (node?.tag !== undefined)
      return this.#refuse(start, `the YAML tag ${node.tag} is not known here`, 'remove it')
    if (isMap(node)) return this.#readMap(node.items, pointer, depth, start)
    if (isSeq(node)) {
      return node.items.map((item, index) =>
        this.read(item as Node, pointerTo(pointer, index), depth + 1, start),
      )
    }
    return isScalar(node) ? node.value : null
  }

  #readMap(items: readonly Pair[], pointer: string, depth: number, at: number): object {
    const result: Record<string, unknown> = Object.create(null)
    for (const item of items) {
      const key = item.key as Node | null
      const keyAt = key?.range?.[0] ?? at
      const name = isScalar(key) && key.tag === undefined ? this.#keyName(key.source, key.value) : undefined
      if (name === undefined) {
        this.#refuse(keyAt, 'a key must be a plain name', 'put it in quotes')
      } else if (name in result) {
        this.#refuse(keyAt, `the key ${JSON.stringify(name)} is here twice`, 'remove one of them')
      } else {
        const child = pointerTo(pointer, name)
        const value = item.value as Node | null
        const empty = isScalar(value) && value.range?.[0] === value.range?.[1]
        this.places.set(child, { key: keyAt, value: keyAt })
        result[name] = this.read(empty || value === null ? null : value, child, depth + 1, keyAt)
      }
    }
    return result
  }

  #keyName(source: string | undefined, value: unknown): string | undefined {
    if (typeof value === 'string') return value
    return value === null || source === undefined ? undefined : source
  }

  #refuse(at: number, message: string, hint: string): null {
    this.problems.push({ at, message, hint })
    return null
  }
}

function collectAnchors(root: Node | null): { anchors: Map<string, Node>; twice: Node[] } {
  const anchors = new Map<string, Node>()
  const twice: Node[] = []
  const waiting: unknown[] = [root]
  while (waiting.length > 0) {
    const node = waiting.pop()
    if (isMap(node)) for (const pair of node.items) waiting.push(pair.value, pair.key)
    else if (isSeq(node)) for (const item of node.items) waiting.push(item)
    if (!(isMap(node) || isSeq(node) || isScalar(node)) || node.anchor === undefined) continue
    if (anchors.has(node.anchor)) twice.push(node)
    anchors.set(node.anchor, node)
  }
  return { anchors, twice }
}

/**
 * Reads one YAML 1.2 document within bounds of size, depth and number of values. All errors are reported.
 * @throws StarlingError, StarlingErrors with `code`
 */
export function readYaml(content: string | Uint8Array, file: string, code: ErrorCode): YamlSource {
  const text = decodeText(content, file, code)
  const lines = new LineCounter()
  const placeAt = (at: number): YamlPlace => {
    const { line, col } = lines.linePos(Math.min(at, text.length))
    return { line: Math.max(1, line), column: Math.max(1, col) }
  }
  const errorAt = (at: number, message: string, hint: string) =>
    new StarlingError(code, message, { hint, position: { file, ...placeAt(at) } })
  let document: ReturnType<typeof parseDocument>
  try {
    // Duplicate keys are found by our own reader: the library compares each with each.
    document = parseDocument(text, { lineCounter: lines, prettyErrors: false, uniqueKeys: false })
  } catch {
    throw new StarlingError(code, 'the file is nested too deeply', {
      hint: 'is it the right file?',
      position: { file },
    })
  }
  if (document.errors.length > 0) {
    const star = unquotedStarAt(text)
    if (star !== undefined) throw errorAt(star, starProblem.message, starProblem.hint)
    // What follows the first break in syntax is mostly its echo.
    const [first] = document.errors
    if (first !== undefined) {
      const { message, hint } = describeYamlProblem(first.code, first.message)
      throw errorAt(first.pos[0], message, hint)
    }
  }
  const root = document.contents as Node | null
  const { anchors, twice } = collectAnchors(root)
  const reader = new Reader(anchors)
  for (const node of twice) {
    const at = node.range?.[0] ?? 0
    reader.problems.push({ at, message: 'an anchor (&name) is set twice', hint: 'give each its own name' })
  }
  const isEmpty = root === null || (isScalar(root) && root.value === null)
  const value = isEmpty ? undefined : reader.read(root, '', 0, 0)
  throwAll(reader.problems.map(({ at, message, hint }) => errorAt(at, message, hint)))
  return {
    value,
    placeOf(pointer, part) {
      const place = reader.places.get(pointer)
      if (place === undefined) return undefined
      return placeAt(part === 'key' ? (place.key ?? place.value) : place.value)
    },
  }
}
