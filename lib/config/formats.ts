import { parseHostPort } from '../core/peer.ts'
import { isRegistryHost, isTag } from '../core/reference.ts'
import { parseDurationMs, parseSizeBytes } from '../core/units.ts'
import { canonicalIp, isHostName, isWildcardIp } from './ip.ts'
import { patternProblem } from './safe-pattern.ts'

/** A kind of text in a configuration file. */
export interface TextFormat {
  /** Completes "must be …". */
  readonly noun: string
  /** What is wrong with a text, completing "…: "; undefined where it is good, an empty text where `noun` says it all. */
  problem(text: string): string | undefined
}

const maxPathSizeBytes = 4096

function pathProblem(text: string): string | undefined {
  if (text.trim() === '') return 'it is empty'
  if (/^[a-z]+:\/\//i.test(text)) return 'write it without a scheme'
  if (text.includes('\0')) return 'it holds a NUL character'
  if (Buffer.byteLength(text) > maxPathSizeBytes) return `it is longer than ${maxPathSizeBytes} bytes`
  return text.split('/').some((part) => Buffer.byteLength(part) > 255)
    ? 'a part of it is longer than 255 bytes'
    : undefined
}

function endpointProblem(text: string): string | undefined {
  const endpoint = parseHostPort(text)
  if (endpoint === undefined) {
    if (/^:\d+$/.test(text)) return `the address is missing, write 0.0.0.0${text} or [::]${text}`
    return canonicalIp(text) === undefined ? '' : 'the port is missing'
  }
  return canonicalIp(endpoint.host) === undefined ? 'the host must be an IP address, not a name' : undefined
}

function advertiseProblem(text: string): string | undefined {
  const host = canonicalIp(text) ?? parseHostPort(text)?.host
  if (host === undefined) return ''
  const ip = canonicalIp(host)
  if (ip === undefined) return 'the host must be an IP address, not a name'
  if (isWildcardIp(ip)) return 'other nodes cannot reach a wildcard address'
  return parseHostPort(text)?.port === 0 ? 'port 0 cannot be reached' : undefined
}

function hostPortProblem(text: string): string | undefined {
  const parsed = splitHostPort(text, 1)
  if (parsed === undefined) return /:\/\//.test(text) ? 'write it without a scheme' : ''
  const ip = canonicalIp(parsed.host)
  if (ip === undefined && !isHostName(parsed.host)) return 'the host is neither a name nor an IP address'
  if (ip !== undefined && isWildcardIp(ip)) return 'a wildcard address cannot be reached'
  return parsed.port === 0 ? 'port 0 cannot be reached' : undefined
}

/** `host`, `host:port`, an IPv6 address with or without brackets; undefined where the text is none of these. */
export function splitHostPort(text: string, defaultPort: number): { host: string; port: number } | undefined {
  const full = parseHostPort(text)
  if (full !== undefined) return { host: canonicalIp(full.host) ?? full.host, port: full.port }
  const bare = text.startsWith('[') && text.endsWith(']') ? text.slice(1, -1) : text
  const ip = canonicalIp(bare)
  if (ip !== undefined) return { host: ip, port: defaultPort }
  return isHostName(text) ? { host: text, port: defaultPort } : undefined
}

const namePattern = /^[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?$/

function wordProblem(maxLength: number): (text: string) => string | undefined {
  return (text) => {
    if (text.length > maxLength) return `it is longer than ${maxLength} characters`
    return namePattern.test(text) ? undefined : ''
  }
}

function hostProblem(text: string): string | undefined {
  const ip = canonicalIp(text)
  if (ip !== undefined) return isWildcardIp(ip) ? 'a wildcard address names no machine' : undefined
  return isHostName(text) && !text.endsWith('.') ? undefined : ''
}

function serverUrlProblem(text: string): string | undefined {
  if (text.length > 300) return 'it is longer than 300 characters'
  if (!text.startsWith('https://')) return 'it begins with https://'
  const rest = text.slice('https://'.length).replace(/\/$/, '')
  if (/[/?#@]/.test(rest)) return 'it has nothing but a host and a port'
  return hostPortProblem(rest)
}

const nodeName: TextFormat = {
  noun: 'a name of letters, digits, dots, dashes and underscores',
  problem: wordProblem(64),
}

/** Is this a name that a node may have? */
export function isNodeName(text: string): boolean {
  return nodeName.problem(text) === undefined
}

/** Below this a transfer would count as one that stalls. */
const minRateBytes = 256 * 2 ** 10

/** Bytes a second of `50MiB/s`; `unlimited` is infinity. Undefined where the text is neither. */
export function parseRateBytes(text: string): number | undefined {
  if (text === 'unlimited') return Number.POSITIVE_INFINITY
  return text.endsWith('/s') ? parseSizeBytes(text.slice(0, -2)) : undefined
}

function rateProblem(text: string): string | undefined {
  const rate = parseRateBytes(text)
  if (rate === undefined) return ''
  return rate < minRateBytes ? 'less than 256KiB/s counts as a stall' : undefined
}

/** The formats that the schemas use, by their name there. */
export const textFormats = {
  'starling-duration': {
    noun: 'a duration with a unit such as 500ms, 30s or 5m',
    problem: (text) => (parseDurationMs(text) === undefined ? '' : undefined),
  },
  'starling-size': {
    noun: 'a size with a unit such as 512KiB or 8MiB',
    problem: (text) => (parseSizeBytes(text) === undefined ? '' : undefined),
  },
  'starling-rate': {
    noun: 'bytes a second such as 50MiB/s, or unlimited',
    problem: rateProblem,
  },
  'starling-node-name': nodeName,
  'starling-zone': {
    noun: 'a name of letters, digits, dots, dashes and underscores',
    problem: (text) => (text === '' ? undefined : wordProblem(64)(text)),
  },
  'starling-namespace': {
    noun: 'the name of a containerd namespace such as k8s.io',
    problem: (text) => (text.length <= 76 && isTag(text) && namePattern.test(text) ? undefined : ''),
  },
  'starling-path': { noun: 'a path', problem: pathProblem },
  'starling-endpoint': {
    noun: 'an IP address with a port such as 0.0.0.0:6443 or [::]:6443',
    problem: endpointProblem,
  },
  'starling-advertise': {
    noun: 'an IP address with or without a port such as 192.0.2.7 or [2001:db8::7]:5001',
    problem: advertiseProblem,
  },
  'starling-host-port': {
    noun: 'a host with or without a port such as node-1.example.com:5001 or 192.0.2.7',
    problem: hostPortProblem,
  },
  'starling-reference-pattern': {
    noun: 'a regular expression that is quick to match',
    problem: patternProblem,
  },
  'starling-host': { noun: 'a host name or an IP address', problem: hostProblem },
  'starling-server-url': {
    noun: 'the address of a server such as https://server-1.example.com:9345',
    problem: serverUrlProblem,
  },
  'starling-token': {
    noun: 'a token as starling token create prints it',
    problem: (text) =>
      /^(?:K10[0-9A-Fa-f]{64}::(?:node|server):)?[a-z0-9]{6,16}\.[A-Za-z0-9]{32,128}$/.test(text)
        ? undefined
        : '',
  },
  'starling-registry-key': {
    noun: 'a registry host such as docker.io or registry.example.com:5000, or "*"',
    problem: (text) => (text === '*' || isRegistryHost(text) ? undefined : ''),
  },
} as const satisfies Readonly<Record<string, TextFormat>>

export type TextFormatName = keyof typeof textFormats
