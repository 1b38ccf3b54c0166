import type { Command } from 'commander'
import type { WhereView } from '../core/ops-view.ts'
import { type CliContext, examples } from './context.ts'
import { addNodeOptions, findNode, type NodeOptions } from './find-node.ts'
import { formatFacts, formatTable, listSome, type OutputFormat, outputOption, print } from './output.ts'

/** `starling where` */
export function addWhereCommand(program: Command, context: CliContext): void {
  addNodeOptions(program.command('where'))
    .description('Say which nodes hold an image or a digest, and what a pull of it would do now')
    .argument('<query>', 'an image reference, or a digest of a manifest or blob')
    .addOption(outputOption())
    .addHelpText(
      'after',
      examples(
        ['starling where docker.io/library/alpine:3.20', 'a tag'],
        ['starling where sha256:0123…cdef', 'a digest of 64 hexadecimal digits'],
      ),
    )
    .action(async (query: string, options: NodeOptions & { output: OutputFormat }) => {
      print(context, options.output, await (await findNode(options)).where(query), whereText)
    })
}

function wholeLine(whole: readonly string[]): readonly [string, string] {
  return ['all of it on', whole.length === 0 ? 'no live node' : listSome(whole)]
}

function whereText(where: WhereView): string {
  const facts = formatFacts([
    ['query', where.query],
    ['digest', where.digest ?? 'unknown'],
    ['verdict', where.verdict],
    ...(where.whole === null ? [] : [wholeLine(where.whole)]),
    ['disputed', where.disputed.map(({ digest, holders }) => `${digest} on ${holders} nodes`)],
  ])
  if (where.holders.length === 0) return facts
  const rows = where.holders.map((holder) => [
    `${holder.name}${holder.self ? '*' : ''}`,
    holder.state,
    holder.registry,
    holder.zone === '' ? '-' : holder.zone,
    holder.address,
    holder.peerId,
  ])
  return `${facts}\n${formatTable(['name', 'state', 'registry', 'zone', 'address', 'peer id'], rows)}`
}
