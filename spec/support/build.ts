/**
 * `npm run build [-- FOLDER]`: the publishable package in dist/ (or FOLDER): JavaScript, declarations, the files that
 * the code reads at run time, and a package.json without anything that only developers need.
 */
import { globSync } from 'node:fs'
import { chmod, copyFile, mkdir, rm, writeFile } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { runOrFail } from './processes.ts'
import { projectDir, readPackageFile } from './project.ts'

const copiedFiles = ['LICENSE', 'README.md', 'SECURITY.md']
/** Kept as they are: versions, dependencies and texts. The rest of package.json is for developers or written anew. */
const keptKeys = ['name', 'version', 'description', 'license', 'type', 'engines', 'dependencies'] as const

/** The package.json of the published package. */
export function publishedPackage(source: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return {
    ...Object.fromEntries(keptKeys.map((key) => [key, source[key]])),
    bin: { starling: 'bin/starling.js' },
    exports: { '.': { types: './lib/index.d.ts', default: './lib/index.js' } },
    files: ['bin', 'lib', ...copiedFiles],
  }
}

/** @throws Error with the compiler's words where the sources don't compile */
export async function buildPackage(target: string): Promise<void> {
  await rm(target, { recursive: true, force: true })
  const config = join(projectDir, 'spec', 'support', 'tsconfig.build.json')
  const tsc = join(projectDir, 'node_modules', '.bin', 'tsc')
  await runOrFail(tsc, ['--project', config, '--outDir', target], { cwd: projectDir })
  const assets = globSync('lib/**/*.*', { cwd: projectDir }).filter((path) => !path.endsWith('.ts'))
  for (const asset of assets) {
    await mkdir(dirname(join(target, asset)), { recursive: true })
    await copyFile(join(projectDir, asset), join(target, asset))
  }
  for (const file of copiedFiles) await copyFile(join(projectDir, file), join(target, file))
  await writeFile(
    join(target, 'package.json'),
    `${JSON.stringify(publishedPackage(readPackageFile()), undefined, 2)}\n`,
  )
  await chmod(join(target, 'bin', 'starling.js'), 0o755)
}

if (import.meta.main) {
  const target = resolve(process.argv[2] ?? join(projectDir, 'dist'))
  await buildPackage(target)
  process.stdout.write(`Built ${target}\n`)
}
