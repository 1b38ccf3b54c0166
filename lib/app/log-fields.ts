import { describeError, StarlingError } from '../core/errors.ts'

const secretName =
  /^(?:psk|secret|password|passwd|token|identity_?token|auth|authorization|cookie|keyring|credentials|.*(?:private_?key|key_?pem|secret|password))$/i
const privateKeyBlock = /-----BEGIN [A-Z ]*PRIVATE KEY-----/
const hidden = '[hidden]'
const maxDepth = 4

/**
 * Fields of a log line as they may be written: secrets are hidden by name and by look, errors become their one line and
 * code, bytes their number.
 */
export function safeLogFields(fields: object): Record<string, unknown> {
  return clean(fields, 0) as Record<string, unknown>
}

function clean(value: unknown, depth: number): unknown {
  if (typeof value === 'string') return privateKeyBlock.test(value) ? hidden : value
  if (typeof value === 'bigint') return value.toString()
  if (typeof value !== 'object' || value === null) return value
  if (value instanceof StarlingError) return { code: value.code, message: value.format() }
  if (value instanceof Error) return { message: describeError(value) }
  if (ArrayBuffer.isView(value)) return `[${value.byteLength} bytes]`
  if (depth >= maxDepth) return '[…]'
  if (Array.isArray(value)) return value.map((item) => clean(item, depth + 1))
  if (value instanceof Date) return value
  const result: Record<string, unknown> = {}
  for (const [key, inner] of Object.entries(value)) {
    result[key] = inner !== undefined && secretName.test(key) ? hidden : clean(inner, depth + 1)
  }
  return result
}
