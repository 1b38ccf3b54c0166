import { glob, readFile } from 'node:fs/promises'
import { dirname, isAbsolute, join } from 'node:path'
import { parse, TomlError } from 'smol-toml'
import { systemErrorCode } from '../../core/errors.ts'

/** What of containerd's configuration matters here; undefined where it is not set. */
export interface ContainerdFacts {
  readonly configPath: string | undefined
  readonly transferConfigPath: string | undefined
  /** The file that sets `discard_unpacked_layers`; undefined where layers are kept. */
  readonly discardedIn: string | undefined
  readonly files: readonly string[]
}

const maxFiles = 64

type Table = Readonly<Record<string, unknown>>
const table = (value: unknown): Table => (typeof value === 'object' && value !== null ? (value as Table) : {})
const text = (value: unknown) => (typeof value === 'string' && value !== '' ? value : undefined)

/**
 * Reads config.toml (versions 2 to 4, and 1 as old machine images have it) with its imports, whose word counts more, the
 * last one's most. @throws Error in one line with the file's name
 */
export async function readContainerdConfig(file: string): Promise<ContainerdFacts> {
  const files = new Set<string>()
  const waiting = [file]
  let facts: Omit<ContainerdFacts, 'files'> = {
    configPath: undefined,
    transferConfigPath: undefined,
    discardedIn: undefined,
  }
  for (let path = waiting.shift(); path !== undefined && files.size < maxFiles; path = waiting.shift()) {
    if (files.has(path)) continue
    files.add(path)
    const content = table(await parsed(path))
    const plugins = table(content.plugins)
    const images = table(plugins['io.containerd.cri.v1.images'])
    const cri = table(plugins['io.containerd.grpc.v1.cri'] ?? plugins.cri)
    const transfer = table(plugins['io.containerd.transfer.v1.local'])
    const discards = images.discard_unpacked_layers ?? table(cri.containerd).discard_unpacked_layers
    facts = {
      configPath:
        text(table(images.registry).config_path) ?? text(table(cri.registry).config_path) ?? facts.configPath,
      transferConfigPath: text(transfer.config_path) ?? facts.transferConfigPath,
      discardedIn: typeof discards !== 'boolean' ? facts.discardedIn : discards ? path : undefined,
    }
    for (const wanted of Array.isArray(content.imports) ? content.imports : []) {
      if (typeof wanted !== 'string') continue
      const full = isAbsolute(wanted) ? wanted : join(dirname(path), wanted)
      if (!full.includes('*')) waiting.push(full)
      else waiting.push(...(await Array.fromAsync(glob(full))).sort())
    }
  }
  return { ...facts, files: [...files] }
}

async function parsed(path: string): Promise<unknown> {
  try {
    return parse(await readFile(path, 'utf8'))
  } catch (error) {
    if (!(error instanceof TomlError)) {
      const hint = 'run as root, or name the right one with --containerd-config'
      throw new Error(`${path} cannot be read (${systemErrorCode(error)}); ${hint}`)
    }
    const why = (error.message.split('\n')[0] ?? '').replace(/^Invalid TOML document: /, '')
    throw new Error(
      `${path}:${error.line}:${error.column}: this is no TOML (${why}); correct it, containerd cannot read it either`,
    )
  }
}
