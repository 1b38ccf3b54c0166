/**
 * `npm run build [-- FOLDER]`: the publishable package in dist/ (or FOLDER): the program with all that it depends on in few
 * files, the declarations of its public API, the files that it reads at run time, and a package.json without anything that
 * only developers need. 1,300 modules one by one take 0.47 s of a core and 23 MiB more to load.
 */
import { globSync } from 'node:fs'
import { chmod, copyFile, mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { type RolldownOutput, rolldown } from 'rolldown'
import { runOrFail } from './processes.ts'
import { projectDir, readPackageFile } from './project.ts'
import { thirdPartyNotices } from './third-party.ts'

const program = 'bin/starling'
const publicApi = 'lib/index'
const copiedFiles = ['LICENSE', 'README.md', 'SECURITY.md']
const noticesFile = 'THIRD-PARTY.txt'
/** Kept as they are: version and texts. The rest of package.json is for developers or written anew. */
const keptKeys = ['name', 'version', 'description', 'license', 'type', 'engines'] as const

/** The package.json of the published package. It depends on nothing: what it needs is in it. */
export function publishedPackage(source: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return {
    ...Object.fromEntries(keptKeys.map((key) => [key, source[key]])),
    bin: { starling: `${program}.js` },
    exports: { '.': { types: `./${publicApi}.d.ts`, default: `./${publicApi}.js` } },
    files: ['bin', 'lib', ...copiedFiles, noticesFile],
  }
}

/** @throws Error with the words of the bundler or the compiler where the sources don't build */
export async function buildPackage(target: string): Promise<void> {
  await rm(target, { recursive: true, force: true })
  const [bundled] = await Promise.all([bundle(target), declare(target)])
  const assets = globSync('lib/**/*.*', { cwd: projectDir }).filter((path) => !path.endsWith('.ts'))
  for (const asset of assets) {
    await mkdir(dirname(join(target, asset)), { recursive: true })
    await copyFile(join(projectDir, asset), join(target, asset))
  }
  for (const file of copiedFiles) await copyFile(join(projectDir, file), join(target, file))
  const modules = bundled.output.flatMap((file) => (file.type === 'chunk' ? file.moduleIds : []))
  await writeFile(join(target, noticesFile), await thirdPartyNotices(modules))
  await writeFile(
    join(target, 'package.json'),
    `${JSON.stringify(publishedPackage(readPackageFile()), undefined, 2)}\n`,
  )
  await chmod(join(target, `${program}.js`), 0o755)
}

/** Not minified: a stack trace names functions, and a comment the file of each. */
async function bundle(target: string): Promise<RolldownOutput> {
  const workers = globSync('lib/**/worker.ts', { cwd: projectDir }).map((path) =>
    path.slice(0, -'.ts'.length),
  )
  const build = await rolldown({
    cwd: projectDir,
    input: Object.fromEntries([program, publicApi, ...workers].map((path) => [path, `${path}.ts`])),
    platform: 'node',
    onLog(level, { message }) {
      if (level === 'warn') throw new Error(message)
    },
  })
  const names = { entryFileNames: '[name].js', chunkFileNames: 'lib/chunks/[name]-[hash].js' }
  const output = await build.write({ dir: target, format: 'esm', ...names })
  await build.close()
  return output
}

/** Keeps the declarations that those of the public API lead to, which need no other package. */
async function declare(target: string): Promise<void> {
  const all = join(target, '.declarations')
  const tsc = join(projectDir, 'node_modules', '.bin', 'tsc')
  const config = join(projectDir, 'spec', 'support', 'tsconfig.build.json')
  await runOrFail(tsc, ['--project', config, '--outDir', all], { cwd: projectDir })
  const needed = new Set([`${publicApi}.d.ts`])
  for (const path of needed) {
    const text = await readFile(join(all, path), 'utf8')
    for (const [, imported = ''] of text.matchAll(/from '(\.[^']+)\.ts'/g))
      needed.add(`${join(dirname(path), imported)}.d.ts`)
    await mkdir(dirname(join(target, path)), { recursive: true })
    await writeFile(join(target, path), text)
  }
  await rm(all, { recursive: true })
}

if (import.meta.main) {
  const target = resolve(process.argv[2] ?? join(projectDir, 'dist'))
  await buildPackage(target)
  process.stdout.write(`Built ${target}\n`)
}
