import type { Command } from 'commander'
import type { ImageView } from '../core/ops-view.ts'
import { type CliContext, examples } from './context.ts'
import { addNodeOptions, findNode, type NodeOptions } from './find-node.ts'
import { formatTable, type OutputFormat, outputOption, print, shortDigest } from './output.ts'

const maxShownHolders = 5

/** `starling images` */
export function addImagesCommand(program: Command, context: CliContext): void {
  addNodeOptions(program.command('images'))
    .description('List the images that the nodes of the cluster offer, and who has them')
    .option('--local', 'only those that this node has')
    .addOption(outputOption())
    .addHelpText(
      'after',
      examples(
        ['starling images', 'all images of all nodes'],
        ['starling images --local --output yaml', 'those of this node, with whole digests'],
      ),
    )
    .action(async (options: NodeOptions & { output: OutputFormat; local?: boolean }) => {
      const images = await (await findNode(options)).images()
      const wanted = options.local === true ? images.filter((image) => image.local) : images
      print(context, options.output, wanted, imagesText)
    })
}

function imagesText(images: readonly ImageView[]): string {
  const rows = images.map((image) => [
    image.reference,
    shortDigest(image.digest),
    image.local ? 'yes' : 'no',
    String(image.holders.length),
    holdersText(image.holders),
  ])
  return formatTable(['reference', 'digest', 'here', 'nodes', 'held by'], rows)
}

function holdersText(holders: readonly string[]): string {
  const more = holders.length - maxShownHolders
  return `${holders.slice(0, maxShownHolders).join(',')}${more > 0 ? ` and ${more} more` : ''}`
}
