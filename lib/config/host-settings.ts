import { isRegistryHost } from '../core/reference.ts'
import type { HostDocument, RegistriesDocument } from './registries-schema.ts'
import { pointerTo, type YamlPlace, type YamlSource } from './yaml-source.ts'

/** Takes a message, what to do, and the place. */
export type Warn = (message: string, hint: string, place: YamlPlace | undefined) => void

/** How a host is reached: an entry of `configs`. */
export interface HostSettings {
  readonly tls: {
    readonly caFile: string | undefined
    readonly certFile: string | undefined
    readonly keyFile: string | undefined
    readonly skipVerify: boolean
  }
  /** Value of an `Authorization` header (RFC 7617); undefined where there is no name and password. */
  readonly authorization: string | undefined
  /** It has a token, which no header can stand for. */
  readonly hasIdentityToken: boolean
  readonly place: YamlPlace | undefined
}

/** Reads `configs`; what can't be used is warned of and left out. */
export function readHostSettings(
  document: RegistriesDocument,
  source: YamlSource,
  warn: Warn,
): Record<string, HostSettings> {
  // Without a prototype: `constructor` is a host name like any other.
  const found: Record<string, HostSettings> = Object.create(null)
  for (const [host, value] of Object.entries(document.configs ?? {})) {
    const pointer = pointerTo('/configs', host)
    const place = source.placeOf(pointer, 'key')
    if (host !== '*' && !isRegistryHost(host)) {
      const shown = JSON.stringify(host.slice(0, 200))
      const hint = 'write a host with or without a port, such as registry.example.com:5000'
      warn(`${shown} under configs is not a registry host and is passed over`, hint, place)
      continue
    }
    const { tls, auth } = value ?? {}
    if ((tls?.cert_file ?? '') !== '' && (tls?.key_file ?? '') === '') {
      warn(`configs.${JSON.stringify(host)}.tls has a cert_file without a key_file`, 'name both', place)
    }
    found[host] = {
      tls: {
        caFile: textOf(tls?.ca_file),
        certFile: textOf(tls?.cert_file),
        keyFile: textOf(tls?.key_file),
        skipVerify: tls?.insecure_skip_verify ?? false,
      },
      authorization: authorizationOf(auth, () =>
        warn(
          `configs.${JSON.stringify(host)}.auth.auth is not a name and a password in base64`,
          'write username and password instead',
          source.placeOf(`${pointer}/auth/auth`, 'value'),
        ),
      ),
      hasIdentityToken: (auth?.identity_token ?? '') !== '',
      place,
    }
  }
  return found
}

function textOf(text: string | null | undefined): string | undefined {
  return text === null || text === '' ? undefined : text
}

function authorizationOf(auth: HostDocument['auth'], malformed: () => void): string | undefined {
  const { username, password, auth: both } = auth ?? {}
  if ((username ?? '') !== '') {
    return `Basic ${Buffer.from(`${username}:${password ?? ''}`).toString('base64')}`
  }
  if ((both ?? '') === '') return undefined
  const decoded = Buffer.from(both ?? '', 'base64')
  // K3s pads with NULs where docker's own files do.
  const pair = decoded.toString('utf8').replace(/\0+$/, '')
  if (!/^[^:]+:/.test(pair)) {
    malformed()
    return undefined
  }
  return `Basic ${Buffer.from(pair).toString('base64')}`
}
