import { readdir, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { ClusterNode } from './node-process.ts'
import { opsGet } from './ops-client.ts'

/** Base64 of a key in PEM, without its line breaks: as it may stand in JSON too. */
function keyBody(pem: string): string[] {
  return [...pem.matchAll(/-----BEGIN [A-Z ]*PRIVATE KEY-----([\s\S]*?)-----END/g)].map(([, body = '']) =>
    body.replaceAll(/\s|\\n/g, ''),
  )
}

/** Every secret that a node has on its disk: keys, PSKs, tokens, its password, and the hashes that a server keeps. */
export async function secretsOf(node: ClusterNode): Promise<Set<string>> {
  const secrets = new Set<string>()
  const folders = [join(node.dir, 'data'), join(node.dir, 'data', 'server'), node.trustDir]
  const files = [join(node.dir, 'token')]
  for (const folder of folders) {
    for (const name of await readdir(folder).catch(() => [])) files.push(join(folder, name))
  }
  for (const file of files) {
    const text = await readFile(file, 'utf8').catch(() => '')
    for (const key of keyBody(text)) secrets.add(key.slice(0, 64))
    for (const [, secret = ''] of text.matchAll(/::(?:node|server):([a-z0-9]+\.[A-Za-z0-9]+)/g)) {
      secrets.add(secret)
      secrets.add(secret.split('.')[1] ?? '')
    }
    if (file.endsWith('/psk') || file.endsWith('/node-password')) {
      for (const line of text.split('\n')) if (line.length >= 32) secrets.add(line)
    }
    if (file.endsWith('/state.json')) {
      for (const [, hash = ''] of text.matchAll(/"hash": "([0-9a-f]{32,})"/g)) secrets.add(hash)
    }
  }
  return secrets
}

/** Files of `dir` that somebody else could read though they hold a secret. */
export async function looseFiles(dir: string, secrets: ReadonlySet<string>): Promise<string[]> {
  const loose: string[] = []
  for (const entry of await readdir(dir, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue
    const file = join(entry.parentPath, entry.name)
    const text = (await readFile(file, 'latin1')).replaceAll(/\n|\\n/g, '')
    const holds = [...secrets].some((secret) => text.includes(secret))
    if (holds && ((await stat(file)).mode & 0o077) !== 0) loose.push(file)
  }
  return loose
}

/** All that a running node says: log, command line, metrics, every answer of the ops API. */
export async function saidBy(node: ClusterNode): Promise<string> {
  const parts = [await readFile(node.logFile, 'utf8').catch(() => '')]
  if (!node.running) return parts.join('\n')
  parts.push(await readFile(`/proc/${node.pid}/cmdline`, 'utf8'))
  parts.push(await readFile(`/proc/${node.pid}/comm`, 'utf8'))
  for (const path of ['status', 'peers', 'registries', 'images', 'metrics']) {
    parts.push((await opsGet(node.opsSocket, `/api/v1/${path}`)).body)
  }
  return parts.join('\n').replaceAll(/\\n/g, '')
}
