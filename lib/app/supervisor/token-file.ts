import type { JoinConfig } from '../../core/config.ts'
import { StarlingError } from '../../core/errors.ts'
import { type JoinToken, parseJoinToken } from '../../trust/join-token.ts'
import { readTrustText } from '../trust/text.ts'

/**
 * The token of a node that joins; undefined where its configuration names none.
 * @throws StarlingError TOKEN_INVALID
 */
export async function readJoinToken(join: JoinConfig): Promise<JoinToken | undefined> {
  if (join.token !== undefined) return parseJoinToken(join.token)
  const { tokenFile } = join
  if (tokenFile === undefined) return undefined
  try {
    const { text } = await readTrustText(tokenFile, { what: 'the token', secret: true })
    return parseJoinToken(text)
  } catch (cause) {
    if (!(cause instanceof StarlingError)) throw cause
    const { message, hint } = cause
    throw new StarlingError('TOKEN_INVALID', message, { hint, position: { file: tokenFile }, cause })
  }
}
