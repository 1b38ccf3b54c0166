import { type Endpoint, parseHostPort } from '../core/peer.ts'
import { parseDurationMs } from '../core/units.ts'
import { splitHostPort } from './formats.ts'
import { canonicalIp } from './ip.ts'

/** Values of the file that have passed the schema, as the rest of the code wants them. */
export function toList(value: string | readonly string[]): readonly string[] {
  return typeof value === 'string' ? [value] : value
}

/** Those that can't be read are left out. */
export function endpoints(value: string | readonly string[]): Endpoint[] {
  return toList(value).flatMap((text) => {
    const parsed = parseHostPort(text)
    return parsed === undefined ? [] : [{ host: canonicalIp(parsed.host) ?? parsed.host, port: parsed.port }]
  })
}

/** The default port is taken where the text names none. */
export function hostPort(text: string, defaultPort: number): Endpoint {
  return splitHostPort(text, defaultPort) ?? { host: text, port: defaultPort }
}

/** 0 where the text is no duration. */
export function milliseconds(text: string): number {
  return parseDurationMs(text) ?? 0
}
