import { describeError, StarlingError } from '../core/errors.ts'
import { notAdmittedPrefix } from './cluster-encrypter.ts'

/** Is it that we reached ourselves? Bootstrap lists name every node, this one included. */
export function isOwnAddressError(error: unknown): boolean {
  return causes(error).some((cause) => cause.message.includes('Can not dial self'))
}

/** What a failed dial means for the caller: ATTESTATION_REFUSED where either side refused the other, else PEER_UNREACHABLE. */
export function toDialError(error: unknown, target: string): StarlingError {
  const all = causes(error)
  const refused = all.find((cause) => cause.message.includes(notAdmittedPrefix))
  if (refused !== undefined) {
    return new StarlingError('ATTESTATION_REFUSED', `${target}: ${refused.message}`, { cause: error })
  }
  const reasons = [...new Set(all.map((cause) => describeError(cause)))]
  return new StarlingError('PEER_UNREACHABLE', `${target} cannot be reached: ${reasons.join(', ')}`, {
    cause: error,
  })
}

function causes(error: unknown): readonly Error[] {
  if (error instanceof AggregateError) return error.errors.flatMap(causes)
  return [error instanceof Error ? error : new Error(String(error))]
}
