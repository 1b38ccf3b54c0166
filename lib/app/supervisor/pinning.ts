import { StarlingError } from '../../core/errors.ts'
import type { Logger } from '../../core/ports.ts'
import { fetchCaBundle } from '../../supervisor/client.ts'
import type { JoinToken } from '../../trust/join-token.ts'
import { anchorsOf, rootsOf } from '../../trust/pinned-root.ts'

/**
 * What of a server's certificates is believed because of a token, before anything secret is sent to it. A token without
 * a hash believes whoever answers, which is said loudly.
 * @throws StarlingError SERVER_UNREACHABLE, SERVER_UNTRUSTED
 */
export async function anchorsFor(
  url: string,
  token: JoinToken,
  { log, signal }: { readonly log: Logger; readonly signal: AbortSignal },
): Promise<readonly string[]> {
  const bundle = await fetchCaBundle(url, signal)
  if (token.rootHash !== undefined) {
    const anchors = anchorsOf(bundle, token.rootHash)
    if (anchors !== undefined) return anchors
    throw new StarlingError('SERVER_UNTRUSTED', `${url} does not have the root that the token names`, {
      hint: 'the token was not sent; is it of this cluster, and is this the right server?',
    })
  }
  const roots = rootsOf(bundle)
  if (roots.length === 0) {
    throw new StarlingError('SERVER_UNTRUSTED', `${url} has sent no certificate of a CA`)
  }
  log.warn(
    { url, roots: roots.map(({ hash }) => hash) },
    'THE TOKEN NAMES NO ROOT: whoever answers at this address is believed and is sent the token; use the whole token, K10…::…',
  )
  return roots.map(({ pem }) => pem)
}
