import type { IncomingMessage } from 'node:http'
import { Agent, request } from 'node:https'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { LayoutWriter } from '../../../lib/oci-layout/writer.ts'
import { builtBin } from '../../support/built.ts'
import { namespaceNetwork, skipWithoutNamespaces } from '../../support/cluster/namespaces.ts'
import type { ClusterNode } from '../../support/cluster/node-process.ts'
import { putImage } from '../../support/cluster/put-image.ts'
import { waitHolders } from '../../support/cluster/views.ts'
import { createCluster } from '../../support/cluster.ts'
import { buildImage, type PlatformImage } from '../../support/oci-image.ts'
import type { Table } from '../benchmark.ts'
import { registry } from '../support/bench-cluster.ts'
import { median, round } from '../support/statistics.ts'

const pullers = 8
const linkBitsPerSecond = 200e6
/** Layers that one node pulls at once, as containerd does by default. */
const atOnce = 3

const retryMs = 100
/** So many processes that start at once on few processors. */
const startMs = 120_000

interface Tally {
  /** Requests that were answered 404: containerd would have gone upstream. */
  refused: number
}

/** The bytes of a blob as containerd gets them: it goes on from the byte it has when a body ends early. */
async function* bodyOf(url: URL, agent: Agent, tally: Tally): AsyncGenerator<Buffer> {
  let bytes = 0
  for (;;) {
    const response = await new Promise<IncomingMessage>((resolve, reject) => {
      const headers = bytes === 0 ? {} : { range: `bytes=${bytes}-` }
      request(url, { agent, headers }).on('error', reject).once('response', resolve).end()
    })
    if (response.statusCode === 404) {
      response.resume()
      tally.refused++
      await delay(retryMs)
      continue
    }
    try {
      for await (const chunk of response as AsyncIterable<Buffer>) {
        bytes += chunk.length
        yield chunk
      }
      return
    } catch (error) {
      if (response.complete) throw error
    }
  }
}

/** Pulls an image through a node into the node's own store, as its containerd would. */
async function pull(node: ClusterNode, name: string, image: PlatformImage, tally: Tally): Promise<void> {
  const agent = new Agent({ ...(await node.clientTls()), keepAlive: true })
  const writer = await LayoutWriter.open(join(node.dir, 'oci'))
  const waiting = [...image.blobs.values()].map(({ descriptor }) => descriptor)
  const work = async () => {
    for (let blob = waiting.shift(); blob !== undefined; blob = waiting.shift()) {
      const kind = blob === image.root ? 'manifests' : 'blobs'
      const url = new URL(`/v2/bench/image/${kind}/${blob.digest}?ns=${registry}`, node.registryUrl)
      await writer.addBlob(bodyOf(url, agent, tally), blob.digest)
    }
  }
  await Promise.all(Array.from({ length: atOnce }, work))
  await writer.putImage(name, image.root)
  agent.destroy()
}

async function makespan(holders: number, image: PlatformImage, turn: number, tally: Tally): Promise<number> {
  await using network = await namespaceNetwork(holders + pullers, { rate: '200mbit' })
  await using cluster = await createCluster({
    nodes: holders + pullers,
    network,
    bin: await builtBin(),
    mirrors: [registry],
    started: 0,
  })
  for (const node of cluster.nodes) node.launch()
  await Promise.all(cluster.nodes.map((node) => node.waitReady(startMs)))
  await cluster.waitWhole(undefined, startMs)
  const name = `${registry}/bench/image:${turn}`
  const having = cluster.nodes.slice(0, holders)
  for (const node of having) await putImage(node, name, image)
  for (const { digest } of image.layers) await waitHolders(cluster.nodes, digest, having, 60_000)
  const startedMs = performance.now()
  await Promise.all(cluster.nodes.slice(holders).map((node) => pull(node, name, image, tally)))
  return (performance.now() - startedMs) / 1000
}

/** Eight nodes pull one image at once over links of 200 Mbit/s each. */
export async function links(log: (line: string) => void, quick: boolean, rounds: number): Promise<Table> {
  const missing = skipWithoutNamespaces()
  if (missing !== false) throw new Error(missing)
  const layerBytes = (quick ? 4 : 16) * 2 ** 20
  const image = await buildImage({
    seed: 'links',
    layers: Array.from({ length: 4 }, () => ({ sizeBytes: layerBytes })),
  })
  const imageBytes = [...image.blobs.values()].reduce((sum, { descriptor }) => sum + descriptor.size, 0)
  const oneLinkSeconds = (imageBytes * 8) / linkBitsPerSecond
  const rows: (string | number)[][] = []
  for (const holders of [1, 3]) {
    const seconds: number[] = []
    const tally: Tally = { refused: 0 }
    for (let turn = 0; turn < rounds; turn++) {
      seconds.push(await makespan(holders, image, turn, tally))
      log(`links, ${holders} holders: ${seconds.at(-1)?.toFixed(1)} s`)
    }
    const fromHolders = (pullers * oneLinkSeconds) / holders
    const found = median(seconds)
    rows.push([
      holders,
      round(found, 1),
      round(oneLinkSeconds, 1),
      round(found / oneLinkSeconds, 1),
      round(fromHolders, 1),
      round(found / fromHolders, 2),
      tally.refused,
    ])
  }
  return {
    part: 'links',
    columns: [
      'holders',
      'makespan s',
      'one link alone s',
      '÷',
      'from the holders alone s',
      '÷',
      'answers 404',
    ],
    rows,
    notes: [
      `${pullers} nodes pull an image of ${Math.round(imageBytes / 2 ** 20)} MiB in 4 layers at the same moment, three layers at once each; tc tbf limits each direction of each link to 200 Mbit/s. Medians of ${rounds} rounds, each in a new cluster.`,
      'No node can be done before its own link has brought the image: "one link alone". "From the holders alone" is what it takes when nobody passes on what it got. An answer 404 sends containerd upstream; here it is asked again after 100 ms.',
    ],
  }
}
