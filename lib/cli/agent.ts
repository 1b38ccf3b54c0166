import type { Command } from 'commander'
import { type CliContext, defaultConfigFile, examples } from './context.ts'
import { runNode, signalsHelp } from './run-node.ts'

/** `starling agent` */
export function addAgentCommand(program: Command, context: CliContext): void {
  program
    .command('agent')
    .description(
      'Run a node in the foreground; it logs JSON lines to standard error. With server and tokenFile in its configuration it joins a cluster, else it works from its trust files',
    )
    .option('--config <file>', 'its configuration', defaultConfigFile)
    .addHelpText(
      'after',
      `${examples(
        ['starling agent', `with ${defaultConfigFile}`],
        ['starling agent --config node-1.yaml', 'with another file'],
      )}\n${signalsHelp}`,
    )
    .action((options: { config: string }) => runNode(context, 'agent', options.config))
}
