import type { Platform } from '../../archive/documents.ts'

/** The platform of this machine in OCI's words. */
export function hostPlatform(): Platform {
  const architecture = process.arch === 'x64' ? 'amd64' : process.arch
  return { os: 'linux', architecture, variant: undefined }
}

/** `linux/amd64`, `linux/arm/v7` or `all`; undefined for anything else. */
export function parsePlatform(text: string): Platform | 'all' | undefined {
  if (text === 'all') return 'all'
  const match = /^([a-z0-9]+)\/([a-z0-9_]+)(?:\/([a-z0-9]+))?$/.exec(text)
  if (match === null) return undefined
  return { os: match[1] ?? '', architecture: match[2] ?? '', variant: match[3] }
}
