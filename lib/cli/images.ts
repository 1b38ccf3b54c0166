import { type Command, InvalidArgumentError } from 'commander'
import type { ImageView } from '../core/ops-view.ts'
import { type CliContext, examples } from './context.ts'
import { addNodeOptions, findNode, type NodeOptions } from './find-node.ts'
import { formatTable, listSome, type OutputFormat, outputOption, print, shortDigest } from './output.ts'
import { isAboutStore, type StoreImagesOptions, showStoreImages } from './store-images.ts'

interface ImagesOptions {
  readonly output: OutputFormat
  readonly local?: boolean
  readonly replicasBelow?: number
}

/** `starling images` */
export function addImagesCommand(program: Command, context: CliContext): void {
  addNodeOptions(program.command('images'))
    .description('List the images that the nodes of the cluster offer, and who has them')
    .option('--local', 'only those that this node has')
    .option('--replicas-below <count>', 'only those that fewer nodes have whole', parseReplicas)
    .option('--pinned', "instead, of this machine's store: those that are pinned")
    .option('--missing', 'of the store: those that are not whole')
    .option('--orphaned', 'of the store: imported ones whose archive has left the images folder')
    .option('--fix-labels', 'give images that ctr or nerdctl loaded the labels that a pull sets')
    .addOption(outputOption())
    .addHelpText(
      'after',
      examples(
        ['starling images', 'all images of all nodes'],
        ['starling images --replicas-below 2', 'those that one node alone has whole, or none'],
        ['starling images --local --output yaml', 'those of this node, with whole digests'],
        ['starling images --orphaned', 'what nothing keeps any more'],
      ),
    )
    .action(async (options: NodeOptions & StoreImagesOptions & ImagesOptions) => {
      if (isAboutStore(options)) {
        await showStoreImages(options, context)
        return
      }
      const images = await (await findNode(options)).images()
      const { local = false, replicasBelow = Number.POSITIVE_INFINITY } = options
      const wanted = images.filter((image) => (!local || image.local) && copies(image) < replicasBelow)
      print(context, options.output, wanted, imagesText)
    })
}

function imagesText(images: readonly ImageView[]): string {
  const rows = images.map((image) => [
    image.reference,
    shortDigest(image.digest),
    image.local ? 'yes' : 'no',
    String(image.holders.length),
    image.whole === null ? '-' : String(image.whole.length),
    listSome(image.holders),
  ])
  return formatTable(['reference', 'digest', 'here', 'nodes', 'whole', 'held by'], rows)
}

/** On how many nodes an image is: whole, where that is known. */
function copies(image: ImageView): number {
  return (image.whole ?? image.holders).length
}

function parseReplicas(text: string): number {
  const value = Number(text)
  if (Number.isInteger(value) && value >= 1 && value <= 65_535) return value
  throw new InvalidArgumentError('It takes a whole number from 1 to 65535.')
}
