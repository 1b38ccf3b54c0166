import type { Command } from 'commander'
import type { DrainView } from '../core/ops-view.ts'
import { type CliContext, examples, exitCodes } from './context.ts'
import { addNodeOptions, findNode, type NodeOptions } from './find-node.ts'
import { formatFacts, type OutputFormat, outputOption, print } from './output.ts'

/** `starling drain-check` */
export function addDrainCheckCommand(program: Command, context: CliContext): void {
  addNodeOptions(program.command('drain-check'))
    .description('Say what the cluster would lose with a node: what no other live node holds')
    .argument('<node>', 'name or peer id of a node')
    .addOption(outputOption())
    .addHelpText(
      'after',
      `${examples(['starling drain-check node-3', 'before node-3 is drained'])}\n\nExit code 1 if something would be lost.`,
    )
    .action(async (node: string, options: NodeOptions & { output: OutputFormat }) => {
      const view = await (await findNode(options)).drainCheck(node)
      print(context, options.output, view, drainText)
      if (view.onlyThereCount > 0) context.setExitCode(exitCodes.failed)
    })
}

function drainText(view: DrainView): string {
  const more = view.imagesCount - view.images.length
  return formatFacts([
    ['node', `${view.name} (${view.state})`],
    ['peer id', view.peerId],
    ['verdict', view.verdict],
    ['digests', `${view.digests}, of them only there: ${view.onlyThereCount}`],
    ['images', [...view.images, ...(more > 0 ? [`and ${more} more`] : [])]],
  ])
}
