import { StarlingError } from '../core/errors.ts'

/** 4 bytes of an IPv4 address, 16 of an IPv6 address. @throws StarlingError WIRE_MALFORMED for anything else */
export function packAddress(host: string): Uint8Array {
  const packed = host.includes(':') ? packIpv6(host) : packIpv4(host)
  if (packed === undefined)
    throw new StarlingError('WIRE_MALFORMED', `${JSON.stringify(host.slice(0, 60))} is not an IP address`)
  return packed
}

/** The reverse; IPv6 in the form of RFC 5952. @throws StarlingError WIRE_MALFORMED unless there are 4 or 16 bytes */
export function unpackAddress(bytes: Uint8Array): string {
  if (bytes.length === 4) return bytes.join('.')
  if (bytes.length !== 16)
    throw new StarlingError('WIRE_MALFORMED', `an IP address has 4 or 16 bytes, not ${bytes.length}`)
  const groups = Array.from({ length: 8 }, (_, index) => (bytes[2 * index]! << 8) | bytes[2 * index + 1]!)
  const text = groups.map((group) => group.toString(16))
  const run = longestZeroRun(groups)
  if (run.length < 2) return text.join(':')
  return `${text.slice(0, run.start).join(':')}::${text.slice(run.start + run.length).join(':')}`
}

function packIpv4(host: string): Uint8Array | undefined {
  const parts = host.split('.')
  if (parts.length !== 4 || !parts.every((part) => /^\d{1,3}$/.test(part) && Number(part) <= 255)) return
  return Uint8Array.from(parts, Number)
}

function packIpv6(host: string): Uint8Array | undefined {
  const lastColon = host.lastIndexOf(':')
  const tail = host.slice(lastColon + 1)
  let text = host
  if (tail.includes('.')) {
    const ipv4 = packIpv4(tail)
    if (ipv4 === undefined) return
    const words = [(ipv4[0]! << 8) | ipv4[1]!, (ipv4[2]! << 8) | ipv4[3]!]
    text = `${host.slice(0, lastColon + 1)}${words.map((word) => word.toString(16)).join(':')}`
  }
  const halves = text.split('::')
  if (halves.length > 2) return
  const [head = [], rest = []] = halves.map((half) => (half === '' ? [] : half.split(':')))
  const missing = 8 - head.length - rest.length
  if (halves.length === 2 ? missing < 1 : missing !== 0) return
  const groups = [...head, ...new Array<string>(Math.max(0, missing)).fill('0'), ...rest]
  if (!groups.every((group) => /^[0-9a-fA-F]{1,4}$/.test(group))) return
  const words = groups.map((group) => Number.parseInt(group, 16))
  return Uint8Array.from(words.flatMap((word) => [word >> 8, word & 255]))
}

function longestZeroRun(groups: readonly number[]): { start: number; length: number } {
  let best = { start: 0, length: 0 }
  let start = 0
  for (let index = 0; index <= groups.length; index++) {
    if (groups[index] === 0) continue
    if (index - start > best.length) best = { start, length: index - start }
    start = index + 1
  }
  return best
}
