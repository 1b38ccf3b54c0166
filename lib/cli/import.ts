import { resolve } from 'node:path'
import type { Command } from 'commander'
import type { ImportedArchive } from '../archive/import-archive.ts'
import { describeError, StarlingError } from '../core/errors.ts'
import { type CliContext, defaultConfigFile, examples, exitCodes } from './context.ts'
import { formatTable, type OutputFormat, outputOption, print } from './output.ts'
import { createProgressLine } from './progress.ts'

interface Options {
  readonly config: string
  readonly platform: string
  readonly output: OutputFormat
}

/** `starling import` */
export function addImportCommand(program: Command, context: CliContext): void {
  program
    .command('import')
    .description(
      'Put the images of archives (docker save, OCI; also compressed) into the store of this machine, pinned. A running node offers them at once',
    )
    .argument('<file...>', '.tar, .tar.gz, .tgz, .tar.zst, .tzst, .tar.bz2, .tbz or .tar.lz4')
    .option('--config <file>', 'configuration of the node', defaultConfigFile)
    .option('--platform <os/arch>', 'of images of several platforms keep this one only', 'all')
    .addOption(outputOption())
    .addHelpText(
      'after',
      `${examples(
        ['starling import images.tar.zst', 'all images in it'],
        ['starling import --platform linux/amd64 a.tar b.tar', 'of two archives one platform'],
      )}\n\nExit code 1 if a file could not be imported; of such a file nothing is stored.`,
    )
    .action(async (files: readonly string[], options: Options) => {
      const { importFile, parsePlatform } = await import('../app/import/import-file.ts')
      const { lockImports } = await import('../app/import/lock.ts')
      const { readConfig } = await import('../app/config/config-files.ts')
      const platform = parsePlatform(options.platform)
      if (platform === undefined) {
        throw new StarlingError('USAGE', `${JSON.stringify(options.platform)} is no platform`, {
          hint: 'for example --platform linux/amd64, or all',
        })
      }
      const { store, dataDir } = await readConfig(options.config)
      const lock = await lockImports(dataDir, {
        onWait: () => context.note('waiting: another import is under way'),
      })
      const results: (ImportedArchive & { readonly file: string })[] = []
      try {
        for (const file of files) {
          const progress = createProgressLine(file)
          try {
            const result = await importFile({ path: resolve(file), store, platform }, progress.show)
            results.push({ file, ...result })
            if (result.unnamed > 0)
              context.note(`${file}: ${result.unnamed} images without a name were passed over`)
          } catch (error) {
            if (!(error instanceof StarlingError)) throw error
            context.note(describeError(error))
            context.setExitCode(exitCodes.failed)
          } finally {
            progress.end()
          }
        }
      } finally {
        await lock.release()
      }
      if (results.length > 0) print(context, options.output, results, resultsText)
    })
}

function resultsText(results: readonly (ImportedArchive & { readonly file: string })[]): string {
  const rows = results.flatMap(({ file, images }) => images.map(({ name, digest }) => [name, digest, file]))
  return formatTable(['image', 'digest', 'from'], rows)
}
