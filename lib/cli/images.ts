import type { Command } from 'commander'
import type { ImageView } from '../core/ops-view.ts'
import { type CliContext, examples } from './context.ts'
import { addNodeOptions, findNode, type NodeOptions } from './find-node.ts'
import { formatTable, type OutputFormat, outputOption, print, shortDigest } from './output.ts'
import { isAboutStore, type StoreImagesOptions, showStoreImages } from './store-images.ts'

const maxShownHolders = 5

/** `starling images` */
export function addImagesCommand(program: Command, context: CliContext): void {
  addNodeOptions(program.command('images'))
    .description('List the images that the nodes of the cluster offer, and who has them')
    .option('--local', 'only those that this node has')
    .option('--pinned', "instead, of this machine's store: those that are pinned")
    .option('--missing', 'of the store: those that are not whole')
    .option('--orphaned', 'of the store: imported ones whose archive has left the images folder')
    .option('--fix-labels', 'give images that ctr or nerdctl loaded the labels that a pull sets')
    .addOption(outputOption())
    .addHelpText(
      'after',
      examples(
        ['starling images', 'all images of all nodes'],
        ['starling images --local --output yaml', 'those of this node, with whole digests'],
        ['starling images --orphaned', 'what nothing keeps any more'],
      ),
    )
    .action(async (options: NodeOptions & StoreImagesOptions & { output: OutputFormat; local?: boolean }) => {
      if (isAboutStore(options)) {
        await showStoreImages(options, context)
        return
      }
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
