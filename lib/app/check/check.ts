import type { NodeConfig } from '../../core/config.ts'
import { describeError } from '../../core/errors.ts'
import { readRegistries } from '../config/config-files.ts'
import { configureHosts } from '../config/configure.ts'
import { loadCredentials } from '../trust/files.ts'
import { readContainerdConfig } from './containerd-config.ts'

export interface CheckLine {
  readonly what: string
  readonly verdict: 'ok' | 'warning' | 'wrong'
  /** What was found, and what to do. */
  readonly detail: string
}

/** Looks at what a node needs to share; changes nothing. */
export async function checkNode(
  config: NodeConfig,
  options: { readonly containerdConfig: string; readonly nowMs: number },
): Promise<CheckLine[]> {
  const lines: CheckLine[] = []
  const look = async (what: string, act: () => Promise<Omit<CheckLine, 'what'>>) => {
    lines.push({
      what,
      ...(await act().catch((error) => ({ verdict: 'wrong' as const, detail: describeError(error) }))),
    })
  }
  await look('certificates and clock', async () => {
    await loadCredentials(config.trust, config.node.name, options.nowMs)
    return { verdict: 'ok', detail: 'all can be used now' }
  })
  await look('hosts.toml', async () => {
    const registries = await readRegistries(config.registries)
    const { changes, refused, certsDir } = await configureHosts({ config, registries, dryRun: true })
    const [first] = refused
    if (first !== undefined)
      return { verdict: 'wrong', detail: `${first.folder}: ${first.reason}; ${first.hint}` }
    if (changes.length === 0) return { verdict: 'ok', detail: `${certsDir} is in step` }
    return {
      verdict: 'wrong',
      detail: `${changes.length} files of ${certsDir} are not in step; run starling configure`,
    }
  })
  if (config.store.type !== 'containerd') return lines
  await look('containerd', async () => {
    const facts = await readContainerdConfig(options.containerdConfig)
    if (facts.discardsLayers) {
      return {
        verdict: 'wrong',
        detail: 'discard_unpacked_layers is on, so nothing can be shared; set it to false',
      }
    }
    if (facts.configPath === undefined) {
      return { verdict: 'wrong', detail: `config_path of CRI is not set; set it to ${config.certsDir}` }
    }
    if (facts.configPath.includes(':')) {
      return {
        verdict: 'warning',
        detail: 'config_path names two folders, which containerd 2.3 does not read for transfers; name one',
      }
    }
    if (facts.configPath !== config.certsDir) {
      return {
        verdict: 'wrong',
        detail: `config_path is ${facts.configPath}, and starling writes ${config.certsDir}; set certsDir`,
      }
    }
    return { verdict: 'ok', detail: `config_path is ${facts.configPath}` }
  })
  return lines
}
