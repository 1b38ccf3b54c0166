import type { ErrorObject } from 'ajv'
import { textFormats } from './formats.ts'
import { suggest } from './suggest.ts'
import { pointerTo } from './yaml-source.ts'

/** One violation of a schema in words, and where it stands. */
export interface SchemaProblem {
  readonly message: string
  readonly hint: string
  readonly pointer: string
  readonly part: 'key' | 'value'
}

interface Described {
  readonly properties?: Readonly<Record<string, unknown>>
  readonly examples?: readonly unknown[]
  readonly format?: string
  readonly enum?: readonly string[]
  /** A secret: JSON Schema validation 2020-12, 9.4. */
  readonly writeOnly?: boolean
}

const typeNouns: Readonly<Record<string, string>> = {
  string: 'text',
  integer: 'a whole number',
  number: 'a number',
  boolean: 'true or false',
  array: 'a list',
  object: 'a mapping of keys and values',
}

function segments(pointer: string): string[] {
  return pointer
    .split('/')
    .slice(1)
    .map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~'))
}

/** A pointer as people write it: `registry.listen[0]`, `mirrors."docker.io"`. */
export function labelOf(pointer: string): string {
  let label = ''
  for (const part of segments(pointer)) {
    if (/^\d+$/.test(part)) label += `[${part}]`
    else label += `${label === '' ? '' : '.'}${/^[A-Za-z_][\w-]*$/.test(part) ? part : JSON.stringify(part)}`
  }
  return label === '' ? 'the file' : label
}

/** A value in an error message: short, on one line. */
export function describeValue(value: unknown): string {
  if (value === null || value === undefined) return 'nothing'
  if (typeof value === 'string') return JSON.stringify(value.length > 80 ? `${value.slice(0, 80)}…` : value)
  if (typeof value === 'object') return Array.isArray(value) ? 'a list' : 'a mapping'
  return String(value)
}

/** `a, b or c` */
function anyOf(words: readonly string[]): string {
  return words.length < 2 ? words.join('') : `${words.slice(0, -1).join(', ')} or ${words.at(-1)}`
}

function exampleHint(pointer: string, schema: Described): string {
  const [example] = schema.examples ?? []
  if (example === undefined) return 'see starling config schema'
  const key = segments(pointer).findLast((part) => !/^\d+$/.test(part)) ?? ''
  const isItem = /\/\d+$/.test(pointer)
  return `for example ${isItem ? '-' : `${key}:`} ${typeof example === 'string' ? example : JSON.stringify(example)}`
}

function formatOf(schema: Described) {
  return Object.entries(textFormats).find(([name]) => name === schema.format)?.[1]
}

function describeType(error: ErrorObject, label: string, schema: Described, hint: string): [string, string] {
  const { data } = error
  const wanted = [error.params.type].flat() as string[]
  const noun = formatOf(schema)?.noun ?? wanted.map((type) => typeNouns[type] ?? type).join(' or ')
  const isMapping = wanted.includes('object')
  if (data === null)
    return [`${label} is empty`, isMapping ? 'give it keys or remove it' : `give it a value, ${hint}`]
  const quoted = typeof data === 'number' || typeof data === 'boolean'
  if (schema.writeOnly === true) return [`${label} must be ${noun}`, hint]
  const shown = typeof data === 'string' ? `the text ${describeValue(data)}` : describeValue(data)
  if (quoted && wanted.includes('string') && schema.format === undefined) {
    return [`${label} must be text, not ${shown}`, 'put it in quotes']
  }
  return [`${label} must be ${noun}, not ${shown}`, isMapping ? 'see starling config schema' : hint]
}

function describeFormat(
  error: ErrorObject,
  label: string,
  schema: Described,
  hint: string,
): [string, string] {
  const text = String(error.data)
  const format = Object.entries(textFormats).find(([name]) => name === error.params.format)?.[1]
  const problem = format?.problem(text) ?? ''
  const why = problem === '' ? '' : `: ${problem}`
  const not = schema.writeOnly === true ? '' : `, not ${describeValue(text)}`
  return [
    `${label} must be ${format?.noun ?? 'something else'}${not}${why}`,
    schema.examples === undefined ? 'correct it' : hint,
  ]
}

/** The words for an error of ajv; undefined for those that only repeat another one. */
export function describeSchemaError(error: ErrorObject): SchemaProblem | undefined {
  const pointer = error.instancePath
  const label = labelOf(pointer)
  const schema = (error.parentSchema ?? {}) as Described
  const hint = exampleHint(pointer, schema)
  const at = (message: string, todo: string, part: 'key' | 'value' = 'value', where = pointer) => ({
    message,
    hint: todo,
    pointer: where,
    part,
  })
  const { params } = error
  switch (error.keyword) {
    case 'additionalProperties': {
      const key = String(params.additionalProperty)
      const known = Object.keys(schema.properties ?? {})
      const meant = suggest(key, known)
      const where = pointer === '' ? '' : ` in ${label}`
      const todo = meant === undefined ? `known keys are ${known.join(', ')}` : `did you mean ${meant}?`
      return at(`unknown key ${describeValue(key)}${where}`, todo, 'key', pointerTo(pointer, key))
    }
    case 'required':
      return at(
        `${label} needs the key ${params.missingProperty}`,
        `add ${params.missingProperty}: …`,
        pointer === '' ? 'value' : 'key',
      )
    case 'type':
      return at(...describeType(error, label, schema, hint))
    case 'format':
      return at(...describeFormat(error, label, schema, hint))
    case 'enum':
      return describeChoice(error, label, schema.enum ?? [], pointer)
    case 'discriminator': {
      const tag = pointerTo(pointer, String(params.tag))
      const known = ['containerd', 'oci-layout']
      if (params.tagValue === undefined) {
        return at(`${label} needs the key ${params.tag}`, `add ${params.tag}: ${anyOf(known)}`, 'key')
      }
      return describeChoice({ ...error, data: params.tagValue }, labelOf(tag), known, tag)
    }
    case 'minimum':
      return at(`${label} must be at least ${params.limit}, not ${error.data}`, hint)
    case 'maximum':
      return at(`${label} must be at most ${params.limit}, not ${error.data}`, hint)
    case 'minDuration':
      return at(`${label} must be at least ${error.schema}, not ${error.data}`, hint)
    case 'maxDuration':
      return at(`${label} must be at most ${error.schema}, not ${error.data}`, hint)
    case 'minItems':
      return at(`${label} must not be an empty list`, hint)
    case 'maxItems':
      return at(`${label} has more than ${params.limit} entries`, 'remove some')
    case 'uniqueItems':
      return at(
        `${label} lists ${describeValue((error.data as unknown[])[params.i])} twice`,
        'remove one of them',
        'value',
        pointerTo(pointer, Math.max(Number(params.i), Number(params.j))),
      )
    default:
      return at(`${label} cannot be used: ${error.message ?? error.keyword}`, 'see starling config schema')
  }
}

function describeChoice(
  error: ErrorObject,
  label: string,
  known: readonly string[],
  pointer: string,
): SchemaProblem {
  const meant = typeof error.data === 'string' ? suggest(error.data, known) : undefined
  return {
    message: `${label} must be ${anyOf(known)}, not ${describeValue(error.data)}`,
    hint: meant === undefined ? 'use one of these' : `did you mean ${meant}?`,
    pointer,
    part: 'value',
  }
}
