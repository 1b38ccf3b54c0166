/**
 * `npm run demo`: three nodes on loopback find one another, learn of an image, serve it, lose one of them, and serve it
 * still. `--keep` leaves them running, `--containerd` uses real containerds (root).
 */
import { parseArgs } from 'node:util'
import { describeError } from '../../../lib/core/errors.ts'
import { formatSize } from '../../../lib/core/units.ts'
import { loopbackNetwork } from '../cluster/network.ts'
import { type Cluster, withCluster } from '../cluster.ts'
import { buildImage, buildIndex, hostPlatform } from '../oci-image.ts'
import { containerdStores } from './containerd-stores.ts'
import { embeddedStores } from './embedded-stores.ts'
import { createNarrator, formatMs } from './narrator.ts'
import { reasonsSince, waitDead, waitHolders } from './observe.ts'
import { findPlace } from './place.ts'
import type { DemoImage, DemoStores } from './stores.ts'

const layerSizesBytes = [32, 16, 12, 4].map((size) => size * 2 ** 20)

async function makeImage(): Promise<DemoImage> {
  const [registry, repository, tag] = ['registry.example.com', 'team/app', '1.0'] as const
  const layers = layerSizesBytes.map((sizeBytes) => ({ sizeBytes }))
  const image = await buildIndex([
    { image: await buildImage({ seed: 'demo', layers }), platform: hostPlatform() },
  ])
  const sizeBytes = [...image.blobs.values()].reduce((sum, blob) => sum + blob.descriptor.size, 0)
  return { name: `${registry}/${repository}:${tag}`, registry, repository, tag, image, sizeBytes }
}

const say = createNarrator((text) => process.stdout.write(text))

async function pullThrough(
  cluster: Cluster,
  index: number,
  stores: DemoStores,
  image: DemoImage,
): Promise<void> {
  const node = cluster.node(index)
  const sinceWallMs = Date.now()
  const pulled = await stores.pull(node, image)
  if (pulled.digest !== image.image.root.digest) throw new Error(`the tag led to ${pulled.digest}`)
  const rate = formatSize(pulled.bytes / (pulled.durationMs / 1000))
  say.note(`${formatSize(pulled.bytes)} in ${formatMs(pulled.durationMs)} (${rate}/s): ${pulled.detail}`)
  say.note(`why: ${reasonsSince(node, sinceWallMs).join('; ')}`)
}

async function printCommand(cluster: Cluster, index: number, ...args: readonly string[]): Promise<void> {
  const { code, stdout, stderr } = await cluster.node(index).cli(...args)
  if (code !== 0) throw new Error(`starling ${args.join(' ')} ended with ${code}: ${stderr}`)
  say.step(`starling ${args.join(' ')}   (on node-${index + 1})`)
  say.quote(stdout)
}

function printHints(cluster: Cluster, stores: DemoStores, image: DemoImage): void {
  const [first, second] = [cluster.node(0), cluster.node(1)]
  const lines = [
    `npm run -s starling -- peers --socket ${second.opsSocket}`,
    `npm run -s starling -- where ${image.name} --socket ${second.opsSocket}`,
    `npm run -s starling -- agent --config ${first.configFile}    # node-1 comes back`,
    ...stores.hints(second, image),
    `tail -f ${second.logFile}`,
  ]
  say.step('The nodes keep running until Ctrl-C. Things to try in another terminal:')
  say.quote(lines.join('\n'))
}

async function play(cluster: Cluster, stores: DemoStores, image: DemoImage, foundMs: number): Promise<void> {
  const [first, second, third] = [cluster.node(0), cluster.node(1), cluster.node(2)]
  say.note(`all three see one another ${formatMs(foundMs)} after the first was started`)

  say.step(
    `${image.name}, ${formatSize(image.sizeBytes)} in ${layerSizesBytes.length} layers, into the store of node-1`,
  )
  const visibleMs = await stores.add(first, image)
  const times = await Promise.all([second, third].map((node) => waitHolders(node, image.name, ['node-1'])))
  say.note(`node-2 can resolve it after ${formatMs((times[0] ?? 0) - visibleMs)}`)
  say.note(`node-3 can resolve it after ${formatMs((times[1] ?? 0) - visibleMs)}`)

  say.step('Pull through the mirror of node-3, with its client certificate, as containerd does')
  await pullThrough(cluster, 2, stores, image)
  await waitHolders(second, image.name, ['node-1', 'node-3'])
  say.note('node-3 has it now, and node-2 knows')

  say.step('SIGKILL for node-1')
  const killedMs = performance.now()
  await first.kill()
  const dead = await Promise.all([second, third].map((node) => waitDead(node, first)))
  say.note(`node-2 declares it dead after ${formatMs((dead[0] ?? 0) - killedMs)}`)
  say.note(`node-3 declares it dead after ${formatMs((dead[1] ?? 0) - killedMs)}`)

  say.step('Pull through the mirror of node-2: node-3 is the only holder left')
  await pullThrough(cluster, 1, stores, image)
  await waitHolders(third, image.name, ['node-2', 'node-3'])

  await printCommand(cluster, 1, 'peers')
  await printCommand(cluster, 1, 'where', image.name)
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: { keep: { type: 'boolean' }, containerd: { type: 'boolean' } },
  })
  await using stores = values.containerd === true ? containerdStores() : embeddedStores()
  say.step(`Three nodes with ${stores.kind}`)
  const place = await findPlace(3)
  const image = await makeImage()
  const startedMs = performance.now()
  const options = {
    nodes: 3,
    network: loopbackNetwork(place.addresses),
    p2pPort: place.p2pPort,
    registryPort: place.registryPort,
    mirrors: [image.registry],
    store: stores.configFor,
  }
  await withCluster(options, async (cluster) => {
    for (const node of cluster.nodes) {
      say.note(`${node.name}: process ${node.pid}, ${node.registryUrl}, p2p ${node.address}:${place.p2pPort}`)
    }
    await play(cluster, stores, image, performance.now() - startedMs)
    if (values.keep === true) {
      printHints(cluster, stores, image)
      await new Promise(() => setInterval(() => {}, 60_000))
    }
  })
  say.step('Done: the image outlived its first holder, and no registry was ever asked.')
}

try {
  await main()
} catch (error) {
  process.stderr.write(`\nThe demo failed: ${describeError(error)}\n`)
  process.exitCode = 1
}
