import { Ajv2020, type ErrorObject } from 'ajv/dist/2020.js'
import { type ErrorCode, StarlingError } from '../core/errors.ts'
import { parseDurationMs } from '../core/units.ts'
import { textFormats } from './formats.ts'
import { describeSchemaError, type SchemaProblem } from './schema-error.ts'
import type { YamlSource } from './yaml-source.ts'

function createAjv(): Ajv2020 {
  const ajv = new Ajv2020({
    strict: true,
    allErrors: true,
    verbose: true,
    allowUnionTypes: true,
    discriminator: true,
    // The schemas are ours, and specs hold them against the one of JSON Schema; compiling that, and making the generated code
    // shorter, took half as long again as the rest, at every start.
    meta: false,
    validateSchema: false,
    code: { optimize: false },
  })
  for (const [name, format] of Object.entries(textFormats)) {
    ajv.addFormat(name, (text: string) => format.problem(text) === undefined)
  }
  const bound = (keyword: string, holds: (durationMs: number, limitMs: number) => boolean) =>
    ajv.addKeyword({
      keyword,
      type: 'string',
      schemaType: 'string',
      errors: false,
      validate: (limit: string, data: string) => {
        const durationMs = parseDurationMs(data)
        return durationMs === undefined || holds(durationMs, parseDurationMs(limit) ?? 0)
      },
    })
  bound('minDuration', (durationMs, limitMs) => durationMs >= limitMs)
  bound('maxDuration', (durationMs, limitMs) => durationMs <= limitMs)
  return ajv
}

/** Checks YAML against a schema: each error with its place, unknown keys told apart for those who only warn of them. */
export type SchemaCheck = (
  source: YamlSource,
  file: string,
  code: ErrorCode,
) => { errors: StarlingError[]; unknownKeys: StarlingError[] }

/** Compiles at the first use: commands that read no file don't pay for it. */
export function createSchemaCheck(schema: Readonly<Record<string, unknown>>): SchemaCheck {
  let validate: ReturnType<Ajv2020['compile']> | undefined
  return (source, file, code) => {
    validate ??= createAjv().compile(schema)
    const errors: StarlingError[] = []
    const unknownKeys: StarlingError[] = []
    if (validate(source.value)) return { errors, unknownKeys }
    for (const raw of validate.errors ?? []) {
      const problem = describeSchemaError(raw as ErrorObject)
      if (problem === undefined) continue
      const list = raw.keyword === 'additionalProperties' ? unknownKeys : errors
      list.push(located(problem, source, file, code))
    }
    return { errors, unknownKeys }
  }
}

function located(problem: SchemaProblem, source: YamlSource, file: string, code: ErrorCode): StarlingError {
  const place = source.placeOf(problem.pointer, problem.part)
  return new StarlingError(code, problem.message, { hint: problem.hint, position: { file, ...place } })
}
