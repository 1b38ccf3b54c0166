import { StarlingError } from '../core/errors.ts'
import type { DrainView } from '../core/ops-view.ts'
import type { Member } from '../core/peer.ts'
import type { ViewSources } from './node-view.ts'

const maxListed = 1000

/**
 * What the cluster would lose with a node.
 * @throws StarlingError NOT_FOUND, USAGE where several nodes have the name or nothing is shared
 */
export function drainView(node: string, sources: ViewSources | undefined): DrainView {
  if (sources === undefined) {
    throw new StarlingError('USAGE', 'this node shares nothing, so it knows nothing of the others', {
      hint: 'ask a node that mirrors a registry',
    })
  }
  const { catalog } = sources
  const { record, state } = findMember(node, sources)
  const onlyThere: DrainView['onlyThere'][number][] = []
  let onlyThereCount = 0
  for (const sole of catalog.soleDigests(record.peerId)) {
    onlyThereCount += 1
    if (onlyThere.length < maxListed) onlyThere.push(sole)
  }
  const images = onlyThereCount === 0 ? [] : imagesOnlyOn(record.peerId, sources)
  const lost = `${onlyThereCount} ${onlyThereCount === 1 ? 'digest' : 'digests'} and ${images.length} ${images.length === 1 ? 'image' : 'images'}`
  return {
    name: record.name,
    peerId: record.peerId,
    state,
    digests: catalog.digestCountOf(record.peerId),
    onlyThereCount,
    onlyThere,
    imagesCount: images.length,
    images: images.slice(0, maxListed),
    verdict:
      onlyThereCount === 0
        ? 'all that it holds is on another live node too'
        : `${lost} would be on no live node any more`,
  }
}

function findMember(node: string, { membership }: ViewSources): Member {
  const members = membership.members()
  const found = members.filter(({ record }) => record.peerId === node || record.name === node)
  const [first] = found
  if (first === undefined) {
    throw new StarlingError('NOT_FOUND', `no member is called ${node}`, { hint: 'starling peers lists them' })
  }
  if (found.length > 1) {
    const ids = found.map(({ record }) => record.peerId).join(', ')
    throw new StarlingError('USAGE', `${found.length} members are called ${node}`, {
      hint: `name one by its peer id: ${ids}`,
    })
  }
  return first
}

/** Images of which no other live node has all; where that can't be told, no other has the manifest. */
function imagesOnlyOn(peerId: string, { catalog }: ViewSources): string[] {
  const images = new Set<string>()
  for (const { registry, repository, tag, digest, holders } of catalog.allTags()) {
    const having = catalog.wholeHolders(registry, digest) ?? holders
    if (having.length === 1 && having[0] === peerId) images.add(`${registry}/${repository}:${tag}`)
  }
  return [...images]
}
