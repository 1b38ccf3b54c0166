import { dirname, normalize } from 'node:path/posix'
import { blankText, importsOf } from './source-text.ts'

/** A source file: its path in the repository, with slashes, and its text. */
export interface SourceFile {
  readonly path: string
  readonly text: string
}

const layers: readonly (readonly string[])[] = [
  ['core'],
  ['membership', 'catalog', 'selection', 'config', 'trust', 'flights'],
  ['archive', 'containerd', 'oci-layout', 'network', 'registry', 'supervisor', 'ops'],
  ['app'],
  ['cli'],
  ['bin'],
]

const pureLayers = 2

/** `core`, `membership`, …, `bin`; undefined for lib/index.ts and for what is no product code. */
function folderOf(path: string): string | undefined {
  const [top, second, third] = path.split('/')
  if (top === 'bin') return 'bin'
  return top === 'lib' && third !== undefined ? second : undefined
}

const layerOf = (folder: string) => layers.findIndex((layer) => layer.includes(folder))

export function isPure(path: string): boolean {
  const folder = folderOf(path)
  const layer = folder === undefined ? -1 : layerOf(folder)
  return layer >= 0 && layer < pureLayers
}

/** The path of a relative import, or undefined where a package is imported. */
export function resolveImport(from: string, specifier: string): string | undefined {
  return specifier.startsWith('.') ? normalize(`${dirname(from)}/${specifier}`) : undefined
}

/** DESIGN §3: who may import whom. One line for each import that is against it. */
export function layerViolations(files: readonly SourceFile[]): string[] {
  const found: string[] = []
  for (const file of files) {
    const from = folderOf(file.path)
    if (from === undefined && file.path !== 'lib/index.ts') continue
    if (from !== undefined && layerOf(from) === -1) {
      found.push(`${file.path}: ${from} is in no layer`)
      continue
    }
    for (const specifier of importsOf(file.text)) {
      const target = resolveImport(file.path, specifier)
      if (target === undefined) continue
      const to = folderOf(target)
      const complain = (why: string) => found.push(`${file.path} imports ${target}: ${why}`)
      if (target === 'lib/index.ts') complain('the public face is for others')
      else if (to === undefined) complain('it is no product code')
      else if (from === undefined) {
        if (to === 'cli' || to === 'bin') complain('the public face has no command line')
      } else if (layerOf(to) > layerOf(from)) complain(`${to} stands above ${from}`)
      else if (layerOf(to) === layerOf(from) && to !== from) complain(`${to} is a sibling of ${from}`)
    }
  }
  return found
}

/** Chains of imports that lead back to where they began, each once. */
export function importCycles(files: readonly SourceFile[]): string[] {
  const graph = new Map(
    files.map((file) => [
      file.path,
      importsOf(file.text).flatMap((specifier) => resolveImport(file.path, specifier) ?? []),
    ]),
  )
  const cycles: string[] = []
  const done = new Set<string>()
  const visit = (path: string, trail: readonly string[]): void => {
    const seenAt = trail.indexOf(path)
    if (seenAt !== -1) cycles.push([...trail.slice(seenAt), path].join(' → '))
    if (seenAt !== -1 || done.has(path)) return
    for (const next of graph.get(path) ?? []) visit(next, [...trail, path])
    done.add(path)
  }
  for (const path of graph.keys()) visit(path, [])
  return cycles
}

/** They compute and nothing else, apart from `resolve` of node:path (asks for the working directory) and the streams of node:zlib. */
const pureModules = new Set([
  'node:crypto',
  'node:util',
  'node:buffer',
  'node:path',
  'node:path/posix',
  'node:zlib',
])
const impurePackages =
  /^(?:libp2p|@libp2p\/(?!interface|peer-id|crypto)|@chainsafe\/libp2p|@grpc\/|fastify|pino|prom-client|commander)/
const impureCode: Readonly<Record<string, RegExp>> = {
  'the clock': /\bDate\.now\b|\bnew Date\(\s*\)|\bperformance\s*\.|\bhrtime\b/,
  chance: /\bMath\.random\b|\brandom(?:Bytes|UUID|Int|Fill|FillSync)\b|\bgetRandomValues\b/,
  timers: /\b(?:setTimeout|setInterval|setImmediate)\b/,
  'the process': /\bprocess\s*\.|\b(?:posix|win32|path)\.resolve\s*\(/,
  'the console': /\bconsole\s*\./,
  'the network': /\bfetch\s*\(|\bnew WebSocket\b/,
}

/** The pure folders decide and do nothing: no I/O, clock, chance, timers, process or console. */
export function purityViolations(files: readonly SourceFile[]): string[] {
  const found: string[] = []
  for (const file of files.filter((candidate) => isPure(candidate.path))) {
    for (const specifier of importsOf(file.text)) {
      const isImpureModule = specifier.startsWith('node:') && !pureModules.has(specifier)
      if (isImpureModule || impurePackages.test(specifier)) found.push(`${file.path} imports ${specifier}`)
    }
    const code = blankText(file.text)
    for (const [what, pattern] of Object.entries(impureCode)) {
      const match = pattern.exec(code)
      if (match === null) continue
      const line = code.slice(0, match.index).split('\n').length
      found.push(`${file.path}:${line} uses ${what}: ${match[0]}`)
    }
  }
  return found
}

/** Files of lib/ that only pass on what others export, and every `export *`. */
export function barrels(files: readonly SourceFile[]): string[] {
  return files
    .filter((file) => file.path.startsWith('lib/') && file.path !== 'lib/index.ts')
    .filter((file) => {
      const code = blankText(file.text, true)
      const rest = code
        .replace(/\b(?:import|export)\b(?:\s+type\b)?[\w\s{},*$]*?\bfrom\s*['"][^'"\n]+['"];?/g, '')
        .trim()
      return /\bexport\s+\*/.test(code) || (rest === '' && /\bexport\b/.test(code))
    })
    .map((file) => file.path)
}
