import type { Command } from 'commander'
import { printResult } from './configure.ts'
import { type CliContext, defaultConfigFile, examples } from './context.ts'
import { type OutputFormat, outputOption } from './output.ts'

interface Options {
  readonly config: string
  readonly certsD?: string
  readonly dryRun?: boolean
  readonly output: OutputFormat
}

/** `starling cleanup` */
export function addCleanupCommand(program: Command, context: CliContext): void {
  program
    .command('cleanup')
    .description(
      "Take away what starling configure wrote below containerd's certs.d and put back what was there before. A file of ours that somebody changed is kept as hosts.toml.changed-by-hand",
    )
    .option('--config <file>', 'configuration of the node', defaultConfigFile)
    .option('--certs-d <dir>', "containerd's folder (default: certsDir of the configuration)")
    .option('--dry-run', 'only show what would change')
    .addOption(outputOption())
    .addHelpText(
      'after',
      examples(
        ['starling cleanup', 'containerd pulls as before Starling'],
        ['starling cleanup --dry-run', 'see what would go'],
      ),
    )
    .action(async (options: Options) => {
      const { readConfig } = await import('../app/config/config-files.ts')
      const { cleanupHosts } = await import('../app/config/configure.ts')
      const certsDir = options.certsD ?? (await readConfig(options.config)).certsDir
      const dryRun = options.dryRun === true
      printResult(context, options, await cleanupHosts({ certsDir, dryRun }), dryRun)
    })
}
