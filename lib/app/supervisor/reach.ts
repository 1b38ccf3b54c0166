import { isIP } from 'node:net'
import { plainHost } from '../../core/host-rates.ts'
import { parseHostPort } from '../../core/peer.ts'
import { JoinRefusedError } from '../../trust/join-refusal.ts'

/** Addresses that belong to no single machine: unspecified, multicast, broadcast, and those of one link only. */
const nobodys = /^(?:0\.|22[4-9]\.|23\d\.|2[45]\d\.|::$|ff|fe[89ab])/i

function isMachineAddress(address: string): boolean {
  return isIP(address) !== 0 && !address.includes('%') && !nobodys.test(address)
}

/**
 * The addresses that go into a certificate: those that the node declares, and the one that it was seen at.
 * @throws JoinRefusedError `malformed` where one is not the address of a machine
 */
export function certificateAddresses(declared: readonly string[], seen: string): readonly string[] {
  const bad = declared.find((address) => !isMachineAddress(address))
  if (bad !== undefined) {
    throw new JoinRefusedError('malformed', `${JSON.stringify(bad)} is not the address of a machine`)
  }
  const own = plainHost(seen)
  return [...new Set([...declared, ...(isMachineAddress(own) ? [own] : [])])]
}

/** Where members reach a node. @throws JoinRefusedError `malformed` */
export function memberEndpoints(declared: readonly string[]): readonly string[] {
  const bad = declared.find((text) => {
    const endpoint = parseHostPort(text)
    return endpoint === undefined || endpoint.port === 0 || !isMachineAddress(endpoint.host)
  })
  if (bad === undefined) return [...new Set(declared)]
  throw new JoinRefusedError('malformed', `${JSON.stringify(bad)} is not an address with a port`)
}

/** Is this the URL of a server? */
export function isServerUrl(text: string): boolean {
  const url = URL.parse(text)
  return url?.protocol === 'https:' && url.host !== '' && text === `https://${url.host}` && url.port !== ''
}
