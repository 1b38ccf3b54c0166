import { join } from 'node:path'
import type { Command } from 'commander'
import type { ConfigureResult } from '../app/config/configure.ts'
import { type CliContext, defaultConfigFile, examples, exitCodes } from './context.ts'
import { hostsDiff } from './hosts-diff.ts'
import { formatTable, type OutputFormat, outputOption, print } from './output.ts'

interface Options {
  readonly config: string
  readonly certsD?: string
  readonly dryRun?: boolean
  readonly check?: boolean
  readonly output: OutputFormat
}

/** `starling configure` */
export function addConfigureCommand(program: Command, context: CliContext): void {
  program
    .command('configure')
    .description(
      "Write containerd's hosts.toml files as registries.yaml says, this node's mirror first. Files of somebody else are kept aside for starling cleanup; files of ours that were changed stay as they are",
    )
    .option('--config <file>', 'configuration of the node', defaultConfigFile)
    .option('--certs-d <dir>', "containerd's folder for them (default: certsDir of the configuration)")
    .option('--dry-run', 'only show what would change')
    .option('--check', 'change nothing; exit code 1 if anything would change')
    .addOption(outputOption())
    .addHelpText(
      'after',
      `${examples(
        ['starling configure', 'for the registries in registries.yaml'],
        ['starling configure --dry-run', 'see what would be written'],
      )}\n\nExit code 1 if a file was left alone that stands in the way.`,
    )
    .action(async (options: Options) => {
      const { readConfig } = await import('../app/config/config-files.ts')
      const { readSharedRegistries } = await import('../app/config/shared-registries.ts')
      const { configureHosts, hostsWarningsOf } = await import('../app/config/configure.ts')
      const config = await readConfig(options.config)
      const registries = await readSharedRegistries(config)
      const dryRun = options.dryRun === true || options.check === true
      const certsDir = options.certsD === undefined ? {} : { certsDir: options.certsD }
      const result = await configureHosts({ config, registries, dryRun, ...certsDir })
      for (const warning of [...registries.warnings, ...hostsWarningsOf(config, registries)]) {
        context.note(`warning: ${warning.format()}`)
      }
      printResult(context, options, result, dryRun)
      const wouldChange = options.check === true && result.changes.length > 0
      if (result.refused.length > 0 || wouldChange) context.setExitCode(exitCodes.failed)
    })
}

/** Prints what was done to `certs.d`, or, for a dry run, what would be. */
export function printResult(
  context: CliContext,
  options: { readonly output: OutputFormat },
  result: ConfigureResult,
  dryRun: boolean,
): void {
  const { changes, ...shown } = result
  if (dryRun && options.output === 'table') {
    for (const { folder, before, after } of changes) {
      context.write(hostsDiff(join(result.certsDir, folder, 'hosts.toml'), before, after))
    }
    if (changes.length === 0) context.write(`${result.certsDir}: nothing would change\n`)
  } else {
    print(context, options.output, shown, (value) => resultText(value))
  }
  for (const { folder, reason, hint } of result.refused) {
    context.note(`${result.certsDir}/${folder}: ${reason}; ${hint}`)
  }
}

function resultText(result: Omit<ConfigureResult, 'changes'>): string {
  const rows = (['written', 'unchanged', 'removed'] as const).flatMap((what) =>
    result[what].map((folder) => [folder, what]),
  )
  for (const { folder } of result.refused) rows.push([folder, 'left alone'])
  if (rows.length === 0) return `${result.certsDir}: nothing to do\n`
  return formatTable(['folder', 'what was done'], rows)
}
