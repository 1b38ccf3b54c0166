const v4 = /^(?:(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)(?:\.(?!$)|$)){4}$/
const label = /^[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?$/

export function isIpv4(text: string): boolean {
  return text.length <= 15 && v4.test(text)
}

/** The one written form of an IP address (RFC 5952 for IPv6, without brackets); undefined where it is none. */
export function canonicalIp(text: string): string | undefined {
  if (isIpv4(text)) return text
  if (text.length > 45 || !/^[0-9a-fA-F:.]*:[0-9a-fA-F:.]*$/.test(text)) return undefined
  return URL.parse(`http://[${text}]/`)?.hostname.slice(1, -1)
}

export function isWildcardIp(ip: string): boolean {
  return ip === '0.0.0.0' || ip === '::'
}

/** A DNS name (RFC 1123 §2.1), with or without the dot of the root. */
export function isHostName(text: string): boolean {
  const name = text.endsWith('.') ? text.slice(0, -1) : text
  // A name whose last label is a number is a mistyped IPv4 address.
  return name.length <= 253 && name.split('.').every((part) => label.test(part)) && !/(?:^|\.)\d+$/.test(name)
}
