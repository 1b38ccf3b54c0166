import type { Command } from 'commander'
import { type CliContext, defaultConfigFile, examples } from './context.ts'
import { runNode, signalsHelp } from './run-node.ts'

/** `starling server` */
export function addServerCommand(program: Command, context: CliContext): void {
  program
    .command('server')
    .description(
      'Run a node that is also a server: it keeps the keys of the cluster and lets nodes join on TCP 9345. The first one makes all of them; a further one has server and the tokenFile of a server token in its configuration',
    )
    .option('--config <file>', 'its configuration', defaultConfigFile)
    .addHelpText(
      'after',
      `${examples(
        ['starling server', `with ${defaultConfigFile}`],
        ['starling server --config server-1.yaml', 'with another file'],
      )}\n
The first server writes a token for agents and one for servers below its dataDir: server/node-token and server/server-token.
${signalsHelp}`,
    )
    .action((options: { config: string }) => runNode(context, 'server', options.config))
}
