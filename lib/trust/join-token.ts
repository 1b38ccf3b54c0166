import { hash } from 'node:crypto'
import { StarlingError } from '../core/errors.ts'

/** What a token lets its bearer become. */
export type TokenUsage = 'node' | 'server'

/** What a token says. */
export interface JoinToken {
  /** SHA-256 of the DER of the root that the servers must lead to, as hex; undefined in a token without prefix. */
  readonly rootHash: string | undefined
  /** Undefined in a token without prefix: the servers know. */
  readonly usage: TokenUsage | undefined
  /** Names the token in lists and logs; no secret. */
  readonly id: string
  readonly key: string
}

export const tokenIdPattern = /^[a-z0-9]{6,16}$/
const keyPattern = /^[A-Za-z0-9]{32,128}$/
const maxTokenLength = 512
/** The form of K3s and RKE2. */
const tokenPattern = /^K10([0-9a-f]{64})::(node|server):([a-z0-9]{6,16})\.([A-Za-z0-9]{32,128})$/i
const barePattern = /^([a-z0-9]{6,16})\.([A-Za-z0-9]{32,128})$/

/**
 * Reads `K10<hash>::<usage>:<id>.<key>`, or `<id>.<key>` alone; blanks around it are passed over.
 * @throws StarlingError TOKEN_INVALID; the message never shows the token
 */
export function parseJoinToken(text: string): JoinToken {
  const written = text.trim()
  const full = written.length <= maxTokenLength ? tokenPattern.exec(written) : null
  if (full !== null) {
    const [, rootHash = '', usage = '', id = '', key = ''] = full
    return { rootHash: rootHash.toLowerCase(), usage: usage.toLowerCase() as TokenUsage, id, key }
  }
  const bare = written.length <= maxTokenLength ? barePattern.exec(written) : null
  if (bare === null) {
    throw new StarlingError('TOKEN_INVALID', 'the token is malformed', {
      hint: 'copy the whole line that starling token create printed: K10…::node:….…',
    })
  }
  return { rootHash: undefined, usage: undefined, id: bare[1] ?? '', key: bare[2] ?? '' }
}

/** The text that `parseJoinToken` reads back. */
export function formatJoinToken({ rootHash, usage, id, key }: JoinToken): string {
  const secret = tokenSecret({ id, key })
  return rootHash === undefined ? secret : `K10${rootHash}::${usage ?? 'node'}:${secret}`
}

/** What is shown to the servers once they have proved themselves. */
export function tokenSecret({ id, key }: Pick<JoinToken, 'id' | 'key'>): string {
  return `${id}.${key}`
}

/** Undefined where the text is no `<id>.<key>`. */
export function readTokenSecret(secret: string): { id: string; key: string } | undefined {
  const [, id = '', key = ''] = secret.length <= maxTokenLength ? (barePattern.exec(secret) ?? []) : []
  return tokenIdPattern.test(id) && keyPattern.test(key) ? { id, key } : undefined
}

/** The hash by which a token names a root. */
export function rootHashOf(der: Uint8Array): string {
  return hash('sha256', der, 'hex')
}
