import type { Labels } from './image-writer.ts'
import type { Reference } from './reference.ts'

/** Labels of images in containerd; an OCI layout has them as annotations of its index. */
export const imageLabels = {
  /** The kubelet's collector leaves such an image alone (CRI, `Image.pinned`). */
  pinned: 'io.cri-containerd.pinned',
  /** CRI shows such images. */
  managed: 'io.cri-containerd.image',
  /** Starling's own pin. */
  ownPin: 'starling.io/pinned',
  /** The file that the image came from; stays when the pin goes. */
  importedFrom: 'starling.io/imported-from',
} as const

const maxSourceLength = 1024

/** What every imported image carries. */
export function pinnedLabels(importedFrom: string): Labels {
  return {
    [imageLabels.pinned]: 'pinned',
    [imageLabels.managed]: 'managed',
    [imageLabels.ownPin]: 'true',
    [imageLabels.importedFrom]: importedFrom.slice(-maxSourceLength),
  }
}

/** Takes the pin away and leaves the rest. */
export const unpinned = { [imageLabels.pinned]: undefined, [imageLabels.ownPin]: undefined } as const

/** The label by which containerd knows where a blob is from: without the port, as containerd itself writes it. */
export function sourceLabel(reference: Reference): readonly [key: string, repository: string] {
  const host = reference.registry.replace(/:\d+$/, '')
  return [`containerd.io/distribution.source.${host}`, reference.repository]
}

/** Both lists of repositories, each once, as containerd joins them. */
export function mergeSourceLabel(before: string | undefined, added: string): string {
  return [...new Set([...(before ?? '').split(','), ...added.split(',')])].filter(Boolean).join(',')
}
