import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { parse } from 'smol-toml'
import { hostsFolder, shadowingFolder } from '../../config/hosts-toml.ts'

/** Whom containerd asks for a registry. */
export interface HostsOrder {
  /** The mirror is among them. */
  readonly asksMirror: boolean
  /** Those behind the mirror, or all. */
  readonly next: readonly string[]
}

/**
 * What hosts.toml says: the first of the folders that containerd looks into (containerd, docs/hosts.md), or without a file
 * the registry itself.
 */
export async function hostsOrder(certsDir: string, registry: string, mirrorUrl: string): Promise<HostsOrder> {
  const shadowing = shadowingFolder(registry)
  const folders = [...(shadowing === undefined ? [] : [shadowing]), hostsFolder(registry), hostsFolder('*')]
  for (const folder of folders) {
    const text = await readFile(join(certsDir, folder, 'hosts.toml'), 'utf8').catch(() => undefined)
    if (text !== undefined) return orderOf(text, registry, mirrorUrl)
  }
  return { asksMirror: false, next: [defaultServer(registry)] }
}

/** The same of the text of a file; of one that is no TOML nothing is used. */
export function orderOf(text: string, registry: string, mirrorUrl: string): HostsOrder {
  let document: { server?: unknown; host?: unknown }
  try {
    document = parse(text)
  } catch {
    return { asksMirror: false, next: [] }
  }
  const { server, host } = document
  const listed = typeof host === 'object' && host !== null ? Object.keys(host) : []
  const all = [...listed, typeof server === 'string' && server !== '' ? server : defaultServer(registry)]
  const at = all.findIndex((url) => sameOrigin(url, mirrorUrl))
  return { asksMirror: at !== -1, next: [...new Set(all.slice(at + 1))] }
}

function defaultServer(registry: string): string {
  return `https://${registry === 'docker.io' ? 'registry-1.docker.io' : registry}`
}

function sameOrigin(url: string, mirrorUrl: string): boolean {
  return URL.parse(url)?.origin === URL.parse(mirrorUrl)?.origin
}
