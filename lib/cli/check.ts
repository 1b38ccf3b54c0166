import type { Command } from 'commander'
import { type CliContext, defaultConfigFile, examples, exitCodes } from './context.ts'
import { formatTable, type OutputFormat, outputOption, print } from './output.ts'

/** `starling check` */
export function addCheckCommand(program: Command, context: CliContext): void {
  program
    .command('check')
    .description("Check certificates, hosts.toml files and containerd's configuration; nothing is changed")
    .option('--config <file>', 'configuration of the node', defaultConfigFile)
    .option('--containerd-config <file>', "containerd's configuration", '/etc/containerd/config.toml')
    .addOption(outputOption())
    .addHelpText(
      'after',
      `${examples(['starling check', 'what is wrong, and what to do'])}\n\nExit code 1 if something is wrong.`,
    )
    .action(async (options: { config: string; containerdConfig: string; output: OutputFormat }) => {
      const { readConfig } = await import('../app/config/config-files.ts')
      const { checkNode } = await import('../app/check/check.ts')
      const { containerdConfig } = options
      const lines = await checkNode(await readConfig(options.config), { containerdConfig, nowMs: Date.now() })
      print(context, options.output, lines, (all) =>
        formatTable(
          ['what', 'verdict', 'detail'],
          all.map(({ what, verdict, detail }) => [what, verdict, detail]),
        ),
      )
      if (lines.some(({ verdict }) => verdict === 'wrong')) context.setExitCode(exitCodes.failed)
    })
}
