import type { StoreImageView } from '../app/import/store-images.ts'
import { type CliContext, defaultConfigFile } from './context.ts'
import { formatTable, type OutputFormat, print, shortDigest } from './output.ts'

export interface StoreImagesOptions {
  readonly config?: string
  readonly output: OutputFormat
  readonly pinned?: boolean
  readonly missing?: boolean
  readonly orphaned?: boolean
  readonly fixLabels?: boolean
}

/** Is it the store of this machine that is asked about, not the cluster? */
export function isAboutStore(options: StoreImagesOptions): boolean {
  return [options.pinned, options.missing, options.orphaned, options.fixLabels].includes(true)
}

/** The part of `starling images` that needs no node: it looks into the store itself. */
export async function showStoreImages(options: StoreImagesOptions, context: CliContext): Promise<void> {
  const { readConfig } = await import('../app/config/config-files.ts')
  const { fixLabels, storeImages } = await import('../app/import/store-images.ts')
  const { store } = await readConfig(options.config ?? defaultConfigFile)
  if (options.fixLabels === true) {
    const fixed = await fixLabels(store)
    print(context, options.output, fixed, (names) =>
      names.length === 0
        ? 'every image has its labels\n'
        : formatTable(
            ['labelled'],
            names.map((name) => [name]),
          ),
    )
    return
  }
  const wanted = (await storeImages(store)).filter(
    (image) =>
      (options.pinned === true && image.pinned) ||
      (options.orphaned === true && image.orphaned) ||
      (options.missing === true && image.missing !== null),
  )
  print(context, options.output, wanted, storeImagesText)
}

function storeImagesText(images: readonly StoreImageView[]): string {
  const rows = images.map((image) => [
    image.name,
    shortDigest(image.digest),
    image.pinned ? 'yes' : 'no',
    image.importedFrom ?? '-',
    image.missing ?? '-',
  ])
  return formatTable(['image', 'digest', 'pinned', 'imported from', 'missing'], rows)
}
