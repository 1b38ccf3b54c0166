import { randomBytes, X509Certificate } from 'node:crypto'
import { type CertificateTerms, makeCertificateAuthority, serialSizeBytes } from '../../trust/certificates.ts'
import { withToken } from '../../trust/cluster-changes.ts'
import { type ClusterState, emptyState, type TokenEntry } from '../../trust/cluster-state.ts'
import { formatJoinToken, rootHashOf, type TokenUsage, tokenSecret } from '../../trust/join-token.ts'
import { minPskSizeBytes } from '../../trust/keyring.ts'
import { backdateMs } from '../../trust/revocation-list.ts'
import { hashSecret, saltSizeBytes } from '../../trust/secret-hash.ts'
import type { FolderContent } from '../trust/folder.ts'
import { formatState, stateFile } from './cluster-store.ts'

const authorityLifeMs = 3650 * 86_400_000
const idAlphabet = 'abcdefghijklmnopqrstuvwxyz234567'

/** A new token: its id is shown in lists, its key (160 bits) once. */
export function makeTokenKey(): { id: string; key: string } {
  const id = [...randomBytes(10)].map((byte) => idAlphabet[byte % idAlphabet.length]).join('')
  return { id, key: randomBytes(20).toString('hex') }
}

/** The root that tokens name now. */
export function currentRootHash(state: ClusterState): string {
  return rootHashOf(new X509Certificate(state.authority.serverCa.certPem).raw)
}

/** Terms of a new root. */
export function authorityTerms(nowMs: number): CertificateTerms {
  return {
    notBeforeMs: nowMs - backdateMs,
    notAfterMs: nowMs + authorityLifeMs,
    serial: randomBytes(serialSizeBytes),
  }
}

/** The folder of the first server of a new cluster: CAs, a PSK, and a token of each kind that never ends. */
export async function makeFirstServerFolder(serverName: string, nowMs: number): Promise<FolderContent> {
  const terms = () => authorityTerms(nowMs)
  // The number keeps the roots of two clusters apart where people see only their names.
  const label = randomBytes(4).toString('hex')
  const serverCa = await makeCertificateAuthority(`starling server CA ${label}`, terms())
  const clientCa = await makeCertificateAuthority(`starling client CA ${label}`, terms())
  const authority = {
    serverCa,
    clientCa,
    serverCaPem: serverCa.certPem,
    clientCaPem: clientCa.certPem,
    keyring: [randomBytes(minPskSizeBytes).toString('hex')],
  }
  let state = emptyState(authority, serverName)
  const files: Record<string, FolderContent[string]> = {}
  for (const usage of ['node', 'server'] as const) {
    const { id, entry, text } = await makeToken(state, { usage, description: `first ${usage} token` }, nowMs)
    state = withToken(state, id, entry, nowMs)
    files[`${usage}-token`] = { text: `${text}\n`, secret: true }
  }
  return { ...files, [stateFile]: { text: formatState(state), secret: true } }
}

/** A new token of a cluster; `text` is the one time that its secret is seen. */
export async function makeToken(
  state: ClusterState,
  wanted: {
    readonly usage: TokenUsage
    readonly description: string
    readonly expiresMs?: number | undefined
  },
  nowMs: number,
): Promise<{ id: string; entry: TokenEntry; text: string }> {
  const token = makeTokenKey()
  const secret = await hashSecret(tokenSecret(token), randomBytes(saltSizeBytes))
  const { usage, description, expiresMs } = wanted
  const text = formatJoinToken({ ...token, usage, rootHash: currentRootHash(state) })
  return { id: token.id, entry: { usage, secret, description, createdMs: nowMs, expiresMs }, text }
}
