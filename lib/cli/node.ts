import type { Command } from 'commander'
import type { NodeRow } from '../app/supervisor/token-admin.ts'
import { type CliContext, examples } from './context.ts'
import { addNodeOptions, findNode, type NodeOptions } from './find-node.ts'
import { formatTable, type OutputFormat, outputOption, print } from './output.ts'
import { followRotation } from './rotation.ts'

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
          ['name', 'role', 'peer id', 'p2p', 'acknowledged', 'revoked'],
          all.map((row) => [
            row.name,
            row.role,
            row.peerId,
            row.p2p.join(' '),
            row.heardAt ?? '-',
            row.revokedAt ?? '-',
          ]),
        ),
      )
    })

  addNodeOptions(node.command('revoke'))
    .description('Refuse a node for good: its certificates and its identity, on every node, within moments')
    .argument('<name>', 'as starling node list shows it')
    .option('--reason <text>', 'for the audit log', '')
    .option('--rotate-psk', 'exchange the pre-shared key at once: the revoked node knows it')
    .addHelpText(
      'after',
      examples(
        ['starling node revoke node-7 --rotate-psk', 'node-7 was stolen'],
        ['starling node revoke node-7 --reason "disk sold"', 'its key is exchanged later'],
      ),
    )
    .action(async (name: string, options: NodeOptions & { reason: string; rotatePsk?: boolean }) => {
      const server = await findNode(options)
      const { role } = await server.admin<{ role: string }>('node-revoke', { name, reason: options.reason })
      context.write(`${name}: refused from now on\n`)
      if (role === 'server') {
        context.note(
          `${name} has the keys of the CAs and all tokens' hashes; exchange the CAs with: starling trust rotate-ca`,
        )
      }
      if (options.rotatePsk === true) await followRotation(server, context, 'rotate-psk')
      else context.note(`${name} knows the pre-shared key; exchange it with: starling trust rotate-psk`)
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
