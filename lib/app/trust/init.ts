import { randomBytes } from 'node:crypto'
import { isIP } from 'node:net'
import { join } from 'node:path'
import { StarlingError } from '../../core/errors.ts'
import type { PeerId } from '../../core/peer-id.ts'
import {
  issueClientCertificate,
  issueServingCertificate,
  maxCommonNameLength,
  serialSizeBytes,
} from '../../trust/certificates.ts'
import { makeIdentityPem, readIdentity } from '../../trust/identity.ts'
import { authorityFolder, type FileAuthority, openAuthority } from './authority.ts'
import { exists, makeParentFolder, writeFolder } from './folder.ts'

const dayMs = 86_400_000
/** Certificates are valid from a little before they are made, because clocks of nodes differ. */
const backdateMs = 300_000
const authorityDays = 3650
const maxDays = 36_500
export const defaultTrustDays = 365

const namePattern = /^[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?$/
const hostPattern =
  /^(?=.{1,253}$)[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*$/

export interface TrustNode {
  readonly name: string
  /** IPv4 and IPv6 addresses and host names, without ports. */
  readonly addresses: readonly string[]
}

export interface InitTrustOptions {
  readonly dir: string
  readonly nodes: readonly TrustNode[]
  /** Validity of the nodes' certificates; never longer than that of the CA. */
  readonly days?: number
  /** Wall clock, milliseconds since 1970. */
  readonly nowMs?: number
}

export interface InitTrustResult {
  /** DIR/ca */
  readonly authorityDir: string
  readonly authority: 'created' | 'reused'
  readonly nodes: readonly {
    readonly name: string
    readonly dir: string
    /** `kept`: the folder was there already and was left alone. */
    readonly state: 'created' | 'kept'
    readonly peerId: PeerId | undefined
  }[]
  /** Milliseconds since 1970 at which the certificates made now expire. */
  readonly notAfterMs: number
}

/**
 * `NAME` or `NAME=address,address`; IPv6 addresses may stand in brackets.
 * @throws StarlingError USAGE
 */
export function parseNodeArgument(text: string): TrustNode {
  const shown = JSON.stringify(text.slice(0, 200))
  const equals = text.indexOf('=')
  const name = equals === -1 ? text : text.slice(0, equals)
  const addresses = equals === -1 ? [] : text.slice(equals + 1).split(',')
  try {
    const node = { name, addresses: addresses.map((address) => address.trim().replace(/^\[(.*)\]$/, '$1')) }
    checkNode(node)
    return node
  } catch (error) {
    if (!(error instanceof StarlingError)) throw error
    const hint = 'expected NAME or NAME=address,address'
    throw new StarlingError('USAGE', `--node ${shown}: ${error.message}`, { hint })
  }
}

/**
 * Makes the trust files of a small cluster: DIR/ca with both CAs and the PSK, and DIR/NODE with all that a node needs. A
 * CA that is there is used again, so that nodes can be added; folders of nodes that are there are left alone.
 * @throws StarlingError USAGE, TRUST_FILE_INVALID, TRUST_FILE_UNSAFE, CERTIFICATE_EXPIRED, CERTIFICATE_MISMATCH, DISK_FULL
 */
export async function initTrust(options: InitTrustOptions): Promise<InitTrustResult> {
  const { dir, nodes, days = defaultTrustDays, nowMs = Date.now() } = options
  checkOptions(dir, nodes, days)
  await makeParentFolder(dir)
  const notBeforeMs = nowMs - backdateMs
  const { authority, created } = await openAuthority(dir, {
    nowMs,
    notBeforeMs,
    notAfterMs: nowMs + Math.max(authorityDays, days) * dayMs,
  })
  const notAfterMs = Math.min(nowMs + days * dayMs, authority.notAfterMs)
  const made: InitTrustResult['nodes'][number][] = []
  for (const node of nodes) {
    const target = join(dir, node.name)
    const kept = await exists(target)
    const peerId = kept ? undefined : await makeNode(dir, node, authority, { notBeforeMs, notAfterMs })
    made.push({ name: node.name, dir: target, state: kept ? 'kept' : 'created', peerId })
  }
  return {
    authorityDir: join(dir, authorityFolder),
    authority: created ? 'created' : 'reused',
    nodes: made,
    notAfterMs,
  }
}

async function makeNode(
  dir: string,
  { name, addresses }: TrustNode,
  authority: FileAuthority,
  validity: { notBeforeMs: number; notAfterMs: number },
): Promise<PeerId> {
  const identityPem = makeIdentityPem()
  const { peerId } = readIdentity(identityPem)
  const terms = () => ({ ...validity, serial: randomBytes(serialSizeBytes) })
  const subject = { nodeName: name, addresses, peerId }
  const serving = await issueServingCertificate(authority.serverCa, subject, terms())
  const client = await issueClientCertificate(authority.clientCa, name, terms())
  await writeFolder(dir, name, {
    'server-ca.crt': { text: authority.serverCa.certPem, secret: false },
    'client-ca.crt': { text: authority.clientCa.certPem, secret: false },
    'serving.crt': { text: serving.certPem, secret: false },
    'serving.key': { text: serving.keyPem, secret: true },
    'client.crt': { text: client.certPem, secret: false },
    'client.key': { text: client.keyPem, secret: true },
    psk: { text: authority.psk, secret: true },
    'identity.key': { text: identityPem, secret: true },
  })
  return peerId
}

function checkOptions(dir: string, nodes: readonly TrustNode[], days: number): void {
  if (dir === '' || dir.includes('\0')) throw usage('the folder is empty or holds a NUL character')
  if (nodes.length === 0) throw usage('no node is named', 'name at least one with --node NAME=address')
  if (!Number.isInteger(days) || days < 1 || days > maxDays) {
    throw usage(`${days} is no number of days from 1 to ${maxDays}`)
  }
  const names = new Set<string>()
  for (const node of nodes) {
    checkNode(node)
    if (names.has(node.name)) throw usage(`the node ${node.name} is named twice`)
    names.add(node.name)
  }
}

function checkNode({ name, addresses }: TrustNode): void {
  const shown = JSON.stringify(name.slice(0, 100))
  if (name.length > maxCommonNameLength || !namePattern.test(name)) {
    throw usage(
      `the node name ${shown} is not 1 to ${maxCommonNameLength} letters, digits, ".", "_" and "-" between letters or digits`,
    )
  }
  if (/^[\d.]+$/.test(name) && isIP(name) === 0)
    throw usage(`the node name ${shown} looks like an IP address and is none`)
  if (name === authorityFolder) throw usage(`the node name ${shown} is taken by the folder of the CA`)
  for (const address of addresses) {
    const isAddress = isIP(address) !== 0 && !address.includes('%')
    if (!isAddress && (!hostPattern.test(address) || /^[\d.]+$/.test(address))) {
      throw usage(
        `${JSON.stringify(address.slice(0, 100))} is neither an IP address nor a host name (without port)`,
      )
    }
  }
}

function usage(message: string, hint?: string): StarlingError {
  return new StarlingError('USAGE', message, { hint })
}
