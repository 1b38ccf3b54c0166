import { StarlingError } from '../core/errors.ts'

/** Why a server says no; a closed set, fit for a metric's label and for audits. */
export type JoinRefusal =
  | 'malformed'
  | 'token-wrong'
  | 'token-expired'
  | 'token-usage'
  | 'name-taken'
  | 'request-malformed'
  | 'request-key'
  | 'request-signature'
  | 'request-names'
  | 'identity'
  | 'certificate'
  | 'unknown-node'
  | 'revoked'
  | 'rate'
  | 'busy'

/** JOIN_REFUSED with its reason. */
export class JoinRefusedError extends StarlingError {
  readonly reason: JoinRefusal

  constructor(reason: JoinRefusal, message: string, hint?: string) {
    super('JOIN_REFUSED', message, { hint })
    this.reason = reason
  }
}
