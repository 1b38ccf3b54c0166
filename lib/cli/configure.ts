import type { Command } from 'commander'
import type { ConfigureResult } from '../app/config/configure.ts'
import { type CliContext, defaultConfigFile, examples, exitCodes } from './context.ts'
import { formatTable, type OutputFormat, outputOption, print } from './output.ts'

interface Options {
  readonly config: string
  readonly certsD?: string
  readonly output: OutputFormat
}

/** `starling configure` */
export function addConfigureCommand(program: Command, context: CliContext): void {
  program
    .command('configure')
    .description(
      "Write containerd's hosts.toml files so that it asks the mirror of this node first. Files that are not ours, or were changed, stay as they are",
    )
    .option('--config <file>', 'configuration of the node', defaultConfigFile)
    .option('--certs-d <dir>', "containerd's folder for them (default: certsDir of the configuration)")
    .addOption(outputOption())
    .addHelpText(
      'after',
      `${examples(
        ['starling configure', 'for the registries in registries.yaml'],
        ['starling configure --certs-d /tmp/certs.d', 'see what would be written'],
      )}\n\nExit code 1 if a file was left alone that stands in the way.`,
    )
    .action(async (options: Options) => {
      const { readConfig, readRegistries } = await import('../app/config/config-files.ts')
      const { configureHosts } = await import('../app/config/configure.ts')
      const config = await readConfig(options.config)
      const { mirrors, warnings } = await readRegistries(config.registries)
      for (const warning of warnings) context.note(`warning: ${warning.format()}`)
      const certsDir = options.certsD === undefined ? {} : { certsDir: options.certsD }
      const result = await configureHosts({ config, mirrors, ...certsDir })
      print(context, options.output, result, resultText)
      for (const { folder, reason, hint } of result.refused) {
        context.note(`${result.certsDir}/${folder}: ${reason}; ${hint}`)
      }
      if (result.refused.length > 0) context.setExitCode(exitCodes.failed)
    })
}

function resultText(result: ConfigureResult): string {
  const rows = (['written', 'unchanged', 'removed'] as const).flatMap((what) =>
    result[what].map((folder) => [folder, what]),
  )
  for (const { folder } of result.refused) rows.push([folder, 'left alone'])
  if (rows.length === 0) return `${result.certsDir}: nothing to do, no registry is mirrored\n`
  return formatTable(['folder', 'what was done'], rows)
}
