import type { ContainerdFacts } from './containerd-config.ts'
import type { TemplateFacts } from './containerd-files.ts'
import { type CheckLine, ok, type Verdict, warning, wrong } from './line.ts'

/** What containerd's configuration means for sharing; `certsDir` is where hosts.toml files are written. */
export function containerdLines(
  facts: ContainerdFacts,
  templates: readonly TemplateFacts[],
  certsDir: string,
): CheckLine[] {
  return [
    { what: 'config_path of CRI', ...criPath(facts.configPath, certsDir) },
    { what: 'config_path of transfers', ...transferPath(facts, certsDir) },
    { what: 'unpacked layers', ...discardedLayers(facts.discardedIn) },
    ...templates.map((template) => ({ what: 'template', ...templateVerdict(template, certsDir) })),
  ]
}

function criPath(configPath: string | undefined, certsDir: string): Verdict {
  if (configPath === undefined) {
    return wrong(
      `it is not set, so containerd reads no hosts.toml; set it to ${certsDir} and restart containerd`,
    )
  }
  const folders = configPath.split(':')
  if (folders.length > 1 && folders.includes(certsDir)) {
    return warning(
      'it names two folders, and containerd 2.3 then reads no hosts.toml for transfers; name one',
    )
  }
  if (configPath !== certsDir) {
    return wrong(
      `it is ${configPath}, and starling writes ${certsDir}; set certsDir in config.yaml to the first`,
    )
  }
  return ok(`it is ${configPath}`)
}

function transferPath({ transferConfigPath, configPath }: ContainerdFacts, certsDir: string): Verdict {
  if (transferConfigPath === undefined) {
    return ok(
      configPath === undefined
        ? 'it is not set'
        : 'it is not set, and need not be: pulls of the kubelet use that of CRI, ctr takes --hosts-dir',
    )
  }
  return transferConfigPath === certsDir
    ? ok(`it is ${transferConfigPath}`)
    : warning(
        `it is ${transferConfigPath}, and starling writes ${certsDir}; containerd 2.3 does not use it, later ones may: set both alike`,
      )
}

/** `file`: where `discard_unpacked_layers` is set, if it is. */
export function discardedLayers(file: string | undefined): Verdict {
  return file === undefined
    ? ok('they are kept')
    : wrong(
        `discard_unpacked_layers is on in ${file}: layers vanish after unpacking and nothing can be shared; set it to false, restart containerd and pull again`,
      )
}

function templateVerdict(template: TemplateFacts, certsDir: string): Verdict {
  const { file, usesBase, configPath, discardsLayers } = template
  if (discardsLayers) return discardedLayers(file)
  if (configPath !== undefined && configPath !== certsDir && !configPath.includes('{{')) {
    return wrong(
      `${file} sets config_path to ${configPath}, and starling writes ${certsDir}; set certsDir to the first`,
    )
  }
  if (!usesBase && configPath === undefined) {
    return wrong(
      `${file} neither takes over the base template nor sets config_path; add {{ template "base" . }}`,
    )
  }
  return ok(`${file} keeps layers and config_path`)
}
