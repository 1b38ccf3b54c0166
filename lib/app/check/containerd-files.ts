import { access, readFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'

const plainFile = '/etc/containerd/config.toml'
const rancherFiles = ['k3s', 'rke2'].map(
  (name) => `/var/lib/rancher/${name}/agent/etc/containerd/config.toml`,
)
const templateNames = ['config.toml.tmpl', 'config-v3.toml.tmpl']

/** Where the containerd of this socket may have its configuration, the likeliest first; K3s and RKE2 have their own. */
export function containerdConfigFiles(socket: string): readonly string[] {
  return socket.startsWith('/run/k3s/') ? [...rancherFiles, plainFile] : [plainFile, ...rancherFiles]
}

export async function firstReadable(files: readonly string[]): Promise<string | undefined> {
  for (const file of files) {
    const readable = await access(file).then(
      () => true,
      () => false,
    )
    if (readable) return file
  }
  return undefined
}

/** What a template of K3s or RKE2 says: it is no TOML, so its lines are looked at. */
export interface TemplateFacts {
  readonly file: string
  /** It begins with what K3s would write itself. */
  readonly usesBase: boolean
  readonly configPath: string | undefined
  readonly discardsLayers: boolean
}

export function templateFacts(file: string, text: string): TemplateFacts {
  const lines = text.split('\n').filter((line) => !line.trim().startsWith('#'))
  const value = (key: string) => {
    const pattern = new RegExp(`^\\s*"?${key}"?\\s*=\\s*(.*?)\\s*$`)
    return lines.map((line) => pattern.exec(line)?.[1]).findLast((found) => found !== undefined)
  }
  return {
    file,
    usesBase: lines.some((line) => /\{\{-?\s*template\s+"base"/.test(line)),
    configPath: value('config_path')?.replace(/^["']|["'].*$/g, ''),
    discardsLayers: /^true\b/.test(value('discard_unpacked_layers') ?? ''),
  }
}

/** The templates beside a configuration, of which K3s and RKE2 make it anew at each start. */
export async function readTemplates(configFile: string): Promise<TemplateFacts[]> {
  const found: TemplateFacts[] = []
  for (const name of templateNames) {
    const file = join(dirname(configFile), name)
    const text = await readFile(file, 'utf8').catch(() => undefined)
    if (text !== undefined) found.push(templateFacts(file, text))
  }
  return found
}
