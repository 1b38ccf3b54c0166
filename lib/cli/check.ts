import type { Command } from 'commander'
import { createOpsClient } from '../ops/client.ts'
import { type CliContext, defaultConfigFile, examples, exitCodes } from './context.ts'
import { formatTable, type OutputFormat, outputOption, print } from './output.ts'

/** `starling check` */
export function addCheckCommand(program: Command, context: CliContext): void {
  program
    .command('check')
    .description(
      "Check certificates, ports, other nodes, hosts.toml files and containerd's configuration; nothing is changed",
    )
    .option('--config <file>', 'configuration of the node', defaultConfigFile)
    .option(
      '--containerd-config <file>',
      "containerd's configuration (default: /etc/containerd/config.toml, or that of K3s or RKE2)",
    )
    .addOption(outputOption())
    .addHelpText(
      'after',
      `${examples(['starling check', 'what is wrong, and what to do'])}\n\nExit code 1 if something is wrong.`,
    )
    .action(async (options: { config: string; containerdConfig?: string; output: OutputFormat }) => {
      const { checkNode } = await import('../app/check/check.ts')
      const { readCheckedConfig } = await import('../app/check/server-facts.ts')
      const { containerdConfig } = options
      const config = await readCheckedConfig(options.config)
      const ops = createOpsClient(config.ops.socket)
      const lines = await checkNode(config, { containerdConfig, nowMs: Date.now(), ops })
      print(context, options.output, lines, (all) =>
        formatTable(
          ['what', 'verdict', 'detail'],
          all.map(({ what, verdict, detail }) => [what, verdict, detail]),
        ),
      )
      if (lines.some(({ verdict }) => verdict === 'wrong')) context.setExitCode(exitCodes.failed)
    })
}
