import { type Command, Option } from 'commander'
import type { TokenRow } from '../app/supervisor/token-admin.ts'
import { StarlingError } from '../core/errors.ts'
import { parseDurationMs } from '../core/units.ts'
import { type CliContext, examples } from './context.ts'
import { addNodeOptions, findNode, type NodeOptions } from './find-node.ts'
import { formatTable, type OutputFormat, outputOption, print } from './output.ts'

interface CreatedToken {
  readonly id: string
  readonly usage: string
  readonly token: string
  readonly expiresAt: string | null
}

/** Null: never. */
function parseTtl(text: string): number | null {
  if (text === 'never') return null
  const durationMs = parseDurationMs(text)
  if (durationMs !== undefined && durationMs > 0) return durationMs
  throw new StarlingError('USAGE', `--ttl ${JSON.stringify(text)} is no duration`, {
    hint: 'for example --ttl 24h, or never',
  })
}

/** `starling token create|list|delete` */
export function addTokenCommands(program: Command, context: CliContext): void {
  const token = program
    .command('token')
    .helpCommand(false)
    .description('Tokens with which nodes and servers join; on a server, whose ops socket is asked')
    .addHelpText(
      'after',
      examples(
        ['starling token create --description rack-7', 'for nodes, good for a day'],
        ['starling token list', 'all of them, without their secrets'],
      ),
    )

  addNodeOptions(token.command('create'))
    .description('Make a token; its secret is shown this once')
    .option('--ttl <duration>', 'how long it is good, or never', parseTtl, 86_400_000)
    .option('--description <text>', 'what it is for', '')
    .addOption(
      new Option('--usage <usage>', 'what its bearer may become').choices(['node', 'server']).default('node'),
    )
    .addOption(outputOption())
    .addHelpText(
      'after',
      examples(
        ['starling token create > token', 'for nodes; the file is their tokenFile'],
        ['starling token create --usage server --ttl 1h', 'for a further server'],
      ),
    )
    .action(
      async (
        options: NodeOptions & {
          ttl: number | null
          description: string
          usage: string
          output: OutputFormat
        },
      ) => {
        const { ttl: ttlMs, description, usage, output } = options
        const node = await findNode(options)
        const made = await node.admin<CreatedToken>('token-create', { usage, description, ttlMs })
        print(context, output, made, (value) => `${value.token}\n`)
        if (output === 'table')
          context.note(`good until ${made.expiresAt ?? 'it is deleted'}; not shown again`)
      },
    )

  addNodeOptions(token.command('list'))
    .description('Show all tokens, without their secrets')
    .addOption(outputOption())
    .addHelpText('after', examples(['starling token list', 'which are still good?']))
    .action(async (options: NodeOptions & { output: OutputFormat }) => {
      const rows = await (await findNode(options)).admin<TokenRow[]>('token-list')
      print(context, options.output, rows, (all) =>
        formatTable(
          ['id', 'usage', 'state', 'expires', 'description'],
          all.map((row) => [row.id, row.usage, row.state, row.expiresAt ?? 'never', row.description]),
        ),
      )
    })

  addNodeOptions(token.command('delete'))
    .description('Delete a token; nodes that joined with it stay')
    .argument('<id>', 'as starling token list shows it')
    .addHelpText('after', examples(['starling token delete abcdefghij', 'nobody joins with it any more']))
    .action(async (id: string, options: NodeOptions) => {
      await (await findNode(options)).admin('token-delete', { id })
      context.write(`${id}: deleted\n`)
    })
}
