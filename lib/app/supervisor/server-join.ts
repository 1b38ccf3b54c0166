import type { NodeConfig } from '../../core/config.ts'
import { describeError, StarlingError } from '../../core/errors.ts'
import type { Logger } from '../../core/ports.ts'
import type { SealedAnswer } from '../../supervisor/api.ts'
import { createSupervisorClient } from '../../supervisor/client.ts'
import { tokenSecret } from '../../trust/join-token.ts'
import { openWithToken } from '../../trust/sealed-state.ts'
import type { FolderContent } from '../trust/folder.ts'
import { formatState, parseState, stateFile } from './cluster-store.ts'
import { anchorsFor } from './pinning.ts'
import { readJoinToken } from './token-file.ts'

/**
 * The folder of a further server: what another one gave it for a server token.
 * @throws StarlingError TOKEN_INVALID, SERVER_UNREACHABLE, SERVER_UNTRUSTED, JOIN_REFUSED
 */
export async function fetchServerFolder(
  config: NodeConfig,
  own: { readonly password: string; readonly urls: readonly string[] },
  { log, signal }: { readonly log: Logger; readonly signal: AbortSignal },
): Promise<FolderContent> {
  const { join } = config
  const token = join === undefined ? undefined : await readJoinToken(join)
  if (join === undefined || token === undefined) {
    throw new StarlingError('TOKEN_INVALID', 'a server that joins another one needs a token', {
      hint: 'set tokenFile to a file with a token of: starling token create --usage server',
    })
  }
  const anchors = await anchorsFor(join.server, token, { log, signal })
  const client = createSupervisorClient({ url: join.server, anchors })
  const secret = tokenSecret(token)
  try {
    const body = { name: config.node.name, token: secret, ...own }
    const answer = await client.call<SealedAnswer>('POST', '/v1/servers/join', { body, signal })
    const bytes = (text: unknown) => Buffer.from(String(text), 'base64')
    const at = { salt: bytes(answer.salt), nonce: bytes(answer.nonce) }
    const plain = openWithToken(secret, bytes(answer.sealed), at)
    const state = parseState(Buffer.from(plain).toString('utf8'), `the answer of ${join.server}`)
    return { [stateFile]: { text: formatState(state), secret: true } }
  } finally {
    client.close()
  }
}

/** Tries again while nobody answers; what a server refuses is final. @throws the last error, or when `signal` aborts */
export async function untilAnswered<T>(
  act: () => Promise<T>,
  options: {
    readonly retry: (attempt: number) => Promise<void>
    readonly signal: AbortSignal
    readonly log: Logger
  },
): Promise<T> {
  for (let attempt = 0; ; attempt += 1) {
    try {
      return await act()
    } catch (error) {
      const isBusy = error instanceof StarlingError && isTemporary(error)
      if (!isBusy || options.signal.aborted) throw error
      options.log.warn(
        { reason: describeError(error), attempt },
        'the servers cannot be joined yet; trying again',
      )
      await options.retry(attempt)
      if (options.signal.aborted) throw error
    }
  }
}

function isTemporary(error: StarlingError): boolean {
  const reason = 'reason' in error ? error.reason : undefined
  return error.code === 'SERVER_UNREACHABLE' || reason === 'busy' || reason === 'rate'
}
