import type { Command } from 'commander'
import type { NodeRow } from '../app/supervisor/token-admin.ts'
import { type CliContext, examples } from './context.ts'
import { addNodeOptions, findNode, type NodeOptions } from './find-node.ts'
import { formatTable, type OutputFormat, outputOption, print } from './output.ts'

/** `starling node list|forget` */
export function addNodeCommands(program: Command, context: CliContext): void {
  const node = program
    .command('node')
    .helpCommand(false)
    .description('Nodes that have joined; on a server, whose ops socket is asked')
    .addHelpText('after', examples(['starling node list', 'who has joined, and who is heard of']))

  addNodeOptions(node.command('list'))
    .description('Show all nodes that have joined')
    .addOption(outputOption())
    .addHelpText('after', examples(['starling node list', 'who has joined']))
    .action(async (options: NodeOptions & { output: OutputFormat }) => {
      const rows = await (await findNode(options)).admin<NodeRow[]>('node-list')
      print(context, options.output, rows, (all) =>
        formatTable(
          ['name', 'role', 'peer id', 'p2p', 'acknowledged'],
          all.map((row) => [row.name, row.role, row.peerId, row.p2p.join(' '), row.heardAt ?? '-']),
        ),
      )
    })

  addNodeOptions(node.command('forget'))
    .description(
      'Set the name of a node free, so that a reinstalled or another machine can join with it; the old one is not locked out by this',
    )
    .argument('<name>', 'as starling node list shows it')
    .addHelpText('after', examples(['starling node forget node-7', 'after node-7 was installed anew']))
    .action(async (name: string, options: NodeOptions) => {
      await (await findNode(options)).admin('node-forget', { name })
      context.write(`${name}: another machine can join with this name\n`)
    })
}
