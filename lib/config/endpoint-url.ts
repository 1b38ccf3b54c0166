/** An endpoint in the one form that is written to hosts.toml. */
export interface EndpointUrl {
  /** Scheme, user info, host, port, path and query. */
  readonly url: string
  /** Host with port as written, without user info: the key under `configs` that says how to reach it. */
  readonly host: string
  /** `http` or `https`. */
  readonly scheme: string
  /** Without a slash at the end; `/v2` where none was given. */
  readonly path: string
  /** The path is not the usual `/v2`, so containerd must not add it. */
  readonly overridePath: boolean
  /** User info can hold a password. */
  readonly hasUserInfo: boolean
}

const maxUrlLength = 2048
const parts =
  /^(?:([A-Za-z][A-Za-z0-9+.-]*):)?\/\/(?:([^/?#]*)@)?(\[[0-9A-Fa-f:.]*(?:%25[\w.~-]+)?\]|[^/?#:@[\]]*)(?::([^/?#]*))?(\/[^?#]*)?(\?[^#]*)?(?:#.*)?$/
const loopback = /^(?:localhost|127(?:\.\d{1,3}){3}|\[::1\])$/i

/** The host under which containerd reaches a registry. */
export function reachedHost(registry: string): string {
  return registry === 'docker.io' || registry === 'index.docker.io' ? 'registry-1.docker.io' : registry
}

/**
 * Reads an endpoint as containerd and K3s do: without a scheme https, but http for loopback hosts with a port other than
 * 443; no path, `/` and `/v2` are the usual path, every other one is kept. A text says why it can't be read.
 */
export function parseEndpointUrl(text: string): EndpointUrl | string {
  if (text.trim() === '') return 'it is empty'
  if (text.length > maxUrlLength) return `it is longer than ${maxUrlLength} characters`
  if (/[\s\p{Cc}"<>\\^`{|}]/u.test(text)) return 'it holds a blank or a character that a URL cannot have'
  if (/%(?![0-9A-Fa-f]{2})/.test(text)) return 'a % is not followed by two hexadecimal digits'
  const match = parts.exec(text.includes('://') ? text : `//${text}`)
  if (match === null) return 'it is not a URL'
  const [, schemeText, userInfo, hostText = '', port, pathText = '', query = ''] = match
  const scheme = schemeText?.toLowerCase()
  if (scheme !== undefined && scheme !== 'http' && scheme !== 'https') {
    return `the scheme ${scheme} is neither http nor https`
  }
  if (hostText === '' || hostText === '[]') return 'the host is missing'
  if (port !== undefined && !isPort(port)) return `${JSON.stringify(port)} is not a port`
  const host = port === undefined ? hostText : `${hostText}:${port}`
  const isPlain = loopback.test(hostText) && port !== undefined && port !== '443'
  const usedScheme = scheme ?? (isPlain ? 'http' : 'https')
  const usual = pathText === '' || pathText === '/' || pathText === '/v2'
  const path = usual ? '/v2' : pathText
  const user = userInfo === undefined ? '' : `${userInfo}@`
  return {
    url: `${usedScheme}://${user}${reachedHost(host)}${path}${query}`,
    host,
    scheme: usedScheme,
    path,
    overridePath: !usual,
    hasUserInfo: userInfo !== undefined,
  }
}

/** The same endpoint with another path. */
export function withPath(endpoint: EndpointUrl, path: string): EndpointUrl {
  const start = endpoint.url.indexOf('/', endpoint.scheme.length + 3)
  const url = `${endpoint.url.slice(0, start)}${path}${endpoint.url.slice(start + endpoint.path.length)}`
  return { ...endpoint, url, path, overridePath: true }
}

function isPort(text: string): boolean {
  return /^\d{1,5}$/.test(text) && Number(text) >= 1 && Number(text) <= 65_535
}
