import type { TextFormatName } from './formats.ts'

/** A JSON Schema, or a part of one. */
export type Schema = Readonly<Record<string, unknown>>

/** The parts that schemas of configuration files are made of. */
export function section(
  description: string,
  properties: Readonly<Record<string, Schema>>,
  required: string[] = [],
) {
  return { type: 'object', description, additionalProperties: false, properties, required }
}

export function text(
  format: TextFormatName,
  description: string,
  example: string,
  more: Schema = {},
): Schema {
  return { type: 'string', format, description, examples: [example], ...more }
}

/** One text or a list of them. */
export function oneOrMore(
  format: TextFormatName,
  description: string,
  example: string,
  more: Schema = {},
): Schema {
  return {
    type: ['string', 'array'],
    format,
    items: { type: 'string', format, examples: [example] },
    minItems: 1,
    maxItems: 16,
    uniqueItems: true,
    description,
    examples: [example],
    ...more,
  }
}

export function path(description: string, example: string, more: Schema = {}): Schema {
  return text('starling-path', description, example, more)
}

export function duration(
  description: string,
  fallback: string,
  minDuration: string,
  maxDuration: string,
): Schema {
  return text('starling-duration', description, fallback, { default: fallback, minDuration, maxDuration })
}

export function integer(description: string, fallback: number, minimum: number, maximum: number): Schema {
  return { type: 'integer', description, examples: [fallback], default: fallback, minimum, maximum }
}

export function flag(description: string, fallback: boolean): Schema {
  return { type: 'boolean', description, default: fallback, examples: [!fallback] }
}

export function list(items: Schema, description: string, more: Schema = {}): Schema {
  return { type: 'array', description, items, maxItems: 256, uniqueItems: true, ...more }
}

export function choice(description: string, values: readonly string[], fallback: string): Schema {
  return { type: 'string', enum: values, description, default: fallback, examples: [values.at(-1)] }
}
