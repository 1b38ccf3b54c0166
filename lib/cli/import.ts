import { resolve } from 'node:path'
import type { Command } from 'commander'
import type { Platform } from '../archive/documents.ts'
import type { ImportProgress } from '../archive/import-archive.ts'
import type { NodeConfig } from '../core/config.ts'
import { describeError, StarlingError } from '../core/errors.ts'
import { type CliContext, defaultConfigFile, examples, exitCodes } from './context.ts'
import { formatTable, type OutputFormat, outputOption, print, printable } from './output.ts'
import { createProgressLine } from './progress.ts'

interface Options {
  readonly config: string
  readonly platform: string
  readonly output: OutputFormat
}

interface Imported {
  readonly file: string
  readonly images: readonly { readonly name: string; readonly digest: string }[]
  /** Images of an archive without a name that can be used. */
  readonly unnamed: number
  /** References of a list that no node has. */
  readonly waiting: readonly { readonly name: string; readonly reason: string }[]
}

/** `starling import` */
export function addImportCommand(program: Command, context: CliContext): void {
  program
    .command('import')
    .description(
      'Put the images of archives (docker save, OCI; also compressed) into the store of this machine, pinned. A running node offers them at once',
    )
    .argument(
      '<file...>',
      '.tar, .tar.gz, .tgz, .tar.zst, .tzst, .tar.bz2, .tbz or .tar.lz4; or .txt, a list of references that are pulled from other nodes',
    )
    .option('--config <file>', 'configuration of the node', defaultConfigFile)
    .option('--platform <os/arch>', 'of images of several platforms keep this one only', 'all')
    .addOption(outputOption())
    .addHelpText(
      'after',
      `${examples(
        ['starling import images.tar.zst', 'all images in it'],
        ['starling import --platform linux/amd64 a.tar b.tar', 'of two archives one platform'],
        ['starling import images.txt', 'pull and pin what is listed, one reference a line'],
      )}\n\nExit code 1 if a file could not be imported, of which nothing is stored then, or a listed image is on no node.`,
    )
    .action((files: readonly string[], options: Options) => importFiles(files, options, context))
}

async function importFiles(files: readonly string[], options: Options, context: CliContext): Promise<void> {
  const { parsePlatform } = await import('../app/import/platform.ts')
  const { lockImports } = await import('../app/import/lock.ts')
  const { readConfig } = await import('../app/config/config-files.ts')
  const platform = parsePlatform(options.platform)
  if (platform === undefined) {
    throw new StarlingError('USAGE', `${JSON.stringify(options.platform)} is no platform`, {
      hint: 'for example --platform linux/amd64, or all',
    })
  }
  const config = await readConfig(options.config)
  const lock = await lockImports(config.dataDir, {
    onWait: () => context.note('waiting: another import is under way'),
  })
  const results: Imported[] = []
  try {
    for (const file of files) {
      const line = createProgressLine(file)
      try {
        const result = await importOne(file, config, platform, line.show)
        line.end()
        results.push(result)
        noteRest(result, context)
      } catch (error) {
        line.end()
        if (!(error instanceof StarlingError)) throw error
        context.note(describeError(error))
        context.setExitCode(exitCodes.failed)
      }
    }
  } finally {
    await lock.release()
  }
  if (results.some(({ images }) => images.length > 0) || (results.length > 0 && options.output !== 'table')) {
    print(context, options.output, results, resultsText)
  }
}

async function importOne(
  file: string,
  config: NodeConfig,
  platform: Platform | 'all',
  onProgress: (progress: ImportProgress) => void,
): Promise<Imported> {
  const { isReferenceList } = await import('../app/import/reference-list.ts')
  const job = { path: resolve(file), store: config.store, platform }
  if (isReferenceList(file)) {
    const { importList } = await import('../app/import/import-list.ts')
    const { mirrorAccess } = await import('../app/config/configure.ts')
    const list = await importList({ ...job, mirror: mirrorAccess(config), done: [] }, onProgress)
    return { file, unnamed: 0, ...list }
  }
  const { importFile } = await import('../app/import/import-file.ts')
  const { images, unnamed } = await importFile(job, onProgress)
  return { file, images, unnamed, waiting: [] }
}

function noteRest({ file, unnamed, waiting }: Imported, context: CliContext): void {
  if (unnamed > 0) context.note(`${file}: ${unnamed} images without a name were passed over`)
  for (const { reason } of waiting) context.note(`${file}: ${printable(reason)}`)
  if (waiting.length > 0) context.setExitCode(exitCodes.failed)
}

function resultsText(results: readonly Imported[]): string {
  const rows = results.flatMap(({ file, images }) => images.map(({ name, digest }) => [name, digest, file]))
  return formatTable(['image', 'digest', 'from'], rows)
}
