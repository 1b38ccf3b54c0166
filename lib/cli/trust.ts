import type { Command } from 'commander'
import type { InitTrustResult } from '../app/trust/init.ts'
import { StarlingError } from '../core/errors.ts'
import { type CliContext, examples } from './context.ts'
import { formatTable, type OutputFormat, outputOption, print } from './output.ts'
import { addRotationCommands } from './rotation.ts'

interface Options {
  readonly dir: string
  readonly node: readonly string[]
  readonly days: number
  readonly output: OutputFormat
}

function parseDays(text: string): number {
  if (/^\d{1,6}$/.test(text)) return Number(text)
  throw new StarlingError('USAGE', `--days ${JSON.stringify(text)} is no number of days`, {
    hint: 'for example --days 365',
  })
}

/** `starling trust init` */
export function addTrustCommands(program: Command, context: CliContext): void {
  const trust = program
    .command('trust')
    .helpCommand(false)
    .description('Make and look after the certificates and keys of a cluster')
    .addHelpText(
      'after',
      examples([
        'starling trust init --dir trust --node node-1=192.0.2.1',
        'all files of a cluster of one node',
      ]),
    )

  addRotationCommands(trust, context)

  trust
    .command('init')
    .description(
      'Make all trust files of a small cluster: DIR/ca stays with you, DIR/NAME goes to that node as its trust folder. A CA that is there is used again, nodes that are there are kept',
    )
    .requiredOption('--dir <dir>', 'folder to make')
    .requiredOption(
      '--node <name[=address,…]>',
      'a node and the addresses and names that it is reached at; may be repeated',
      (text: string, before: string[] | undefined) => [...(before ?? []), text],
    )
    .option('--days <days>', 'validity of the certificates of nodes', parseDays, 365)
    .addOption(outputOption())
    .addHelpText(
      'after',
      examples(
        ['starling trust init --dir trust --node node-1=192.0.2.1 --node node-2=192.0.2.2', 'two nodes'],
        [
          'starling trust init --dir trust --node node-3=node-3.example.com,2001:db8::3',
          'one more, the same CA',
        ],
      ),
    )
    .action(async (options: Options) => {
      const { initTrust, parseNodeArgument } = await import('../app/trust/init.ts')
      const nodes = options.node.map(parseNodeArgument)
      const result = await initTrust({ dir: options.dir, nodes, days: options.days })
      print(context, options.output, result, initText)
    })
}

function initText(result: InitTrustResult): string {
  const rows = result.nodes.map((node) => [node.name, node.state, node.dir, node.peerId ?? '-'])
  const until = new Date(result.notAfterMs).toISOString()
  return [
    formatTable(['node', 'what was done', 'folder', 'peer id'], rows),
    `The CA in ${result.authorityDir} was ${result.authority}; keep it off the nodes.\n`,
    result.nodes.some((node) => node.state === 'created')
      ? `New certificates are valid until ${until}.\n`
      : '',
  ].join('')
}
