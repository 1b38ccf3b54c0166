import { isIPv6 } from 'node:net'
import type { Endpoint } from '../core/peer.ts'

/**
 * The bound address that a datagram to `to` should leave by: same family; loopback only to loopback; then a wildcard,
 * for the kernel knows the routes; then the address that has most leading bits in common with the target's.
 * @returns index into `bound`, undefined where none fits
 */
export function chooseSocket(bound: readonly Endpoint[], to: string): number | undefined {
  const target = bitsOf(to)
  let best: { index: number; rank: number } | undefined
  for (const [index, { host }] of bound.entries()) {
    if (isIPv6(host) !== isIPv6(to)) continue
    const rank = rankOf(host, to, target)
    if (rank !== undefined && (best === undefined || rank > best.rank)) best = { index, rank }
  }
  return best?.index
}

function rankOf(host: string, to: string, target: Uint8Array): number | undefined {
  if (host === '0.0.0.0' || host === '::') return 200
  if (isLoopback(host) !== isLoopback(to)) return undefined
  return commonBits(bitsOf(host), target)
}

function isLoopback(host: string): boolean {
  return host === '::1' || host.startsWith('127.')
}

function commonBits(a: Uint8Array, b: Uint8Array): number {
  for (let index = 0; index < a.length; index++) {
    const difference = (a[index] ?? 0) ^ (b[index] ?? 0)
    if (difference !== 0) return index * 8 + Math.clz32(difference) - 24
  }
  return a.length * 8
}

/** The bytes of an IP address. */
function bitsOf(host: string): Uint8Array {
  if (!isIPv6(host)) return Uint8Array.from(host.split('.'), Number)
  const [address = host] = host.split('%')
  const [head = '', tail] = address.split('::')
  const groups = (text: string) => (text === '' ? [] : text.split(':').flatMap(groupBytes))
  const front = groups(head)
  const back = tail === undefined ? [] : groups(tail)
  const middle = new Array<number>(Math.max(0, 16 - front.length - back.length)).fill(0)
  return Uint8Array.from([...front, ...middle, ...back])
}

function groupBytes(group: string): number[] {
  if (group.includes('.')) return group.split('.').map(Number)
  const value = Number.parseInt(group, 16)
  return [value >> 8, value & 255]
}
