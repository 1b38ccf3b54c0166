import { join } from 'node:path'
import { type Digest, parseDigest } from '../../../lib/core/digest.ts'
import { type ParsedManifest, parseManifest } from '../../../lib/core/manifest.ts'
import { type ImageDescriptor, LayoutWriter } from '../../../lib/oci-layout/writer.ts'
import type { ClusterNode } from '../cluster/node-process.ts'
import type { Fetched, FetchOptions } from '../cluster/registry-client.ts'
import type { DemoImage, DemoStores, PullResult } from './stores.ts'

const manifestTypes = [
  'application/vnd.docker.distribution.manifest.v2+json',
  'application/vnd.docker.distribution.manifest.list.v2+json',
  'application/vnd.oci.image.manifest.v1+json',
  'application/vnd.oci.image.index.v1+json',
  '*/*',
].join(', ')

const layoutOf = (node: Pick<ClusterNode, 'dir'>) => join(node.dir, 'oci')

/** Asks a mirror for one image in the order in which containerd does (resolve by HEAD, then by digest, downwards). */
class MirrorClient {
  readonly #node: ClusterNode
  readonly #image: DemoImage
  readonly #writer: LayoutWriter
  bytes = 0
  requests = 0

  constructor(node: ClusterNode, image: DemoImage, writer: LayoutWriter) {
    this.#node = node
    this.#image = image
    this.#writer = writer
  }

  async #get(kind: 'manifests' | 'blobs', reference: string, options: FetchOptions): Promise<Fetched> {
    const path = `/v2/${this.#image.repository}/${kind}/${reference}?ns=${this.#image.registry}`
    const accept = kind === 'manifests' ? { accept: manifestTypes } : {}
    const fetched = await this.#node.fetch(path, { ...options, headers: accept })
    this.requests += 1
    if (fetched.status !== 200) {
      throw new Error(`${options.method ?? 'GET'} ${path}: ${fetched.status} ${fetched.body ?? ''}`)
    }
    return fetched
  }

  async resolve(): Promise<ImageDescriptor> {
    const { headers } = await this.#get('manifests', this.#image.tag, { method: 'HEAD' })
    const digest = parseDigest(String(headers['docker-content-digest']))
    return { digest, mediaType: String(headers['content-type']), size: Number(headers['content-length']) }
  }

  /** Gets a manifest or blob, checks its digest and stores it. */
  async #store(kind: 'manifests' | 'blobs', digest: Digest): Promise<Buffer> {
    const { body, end, bytes, digest: actual } = await this.#get(kind, digest, { keepBody: true })
    if (end !== 'complete' || body === undefined)
      throw new Error(`${digest} ended early, after ${bytes} bytes`)
    if (actual !== digest) throw new Error(`${digest} came with bytes of ${actual}`)
    await this.#writer.addBlob(body, digest)
    this.bytes += bytes
    return body
  }

  async manifest(digest: Digest): Promise<ParsedManifest> {
    const manifest = parseManifest(await this.#store('manifests', digest))
    if (manifest === undefined) throw new Error(`${digest} is no manifest`)
    return manifest
  }

  async blob(digest: Digest): Promise<void> {
    await this.#store('blobs', digest)
  }
}

async function pull(node: ClusterNode, image: DemoImage): Promise<PullResult> {
  const startedMs = performance.now()
  const writer = await LayoutWriter.open(layoutOf(node))
  const client = new MirrorClient(node, image, writer)
  const root = await client.resolve()
  const [platform] = (await client.manifest(root.digest)).children
  if (platform === undefined) throw new Error('the index is empty')
  const [config, ...layers] = (await client.manifest(platform)).children
  if (config === undefined) throw new Error('the manifest has no configuration')
  await client.blob(config)
  await Promise.all(layers.map((layer) => client.blob(layer)))
  const durationMs = performance.now() - startedMs
  await writer.putImage(image.name, root)
  const detail = `tag → index → manifest → config and ${layers.length} layers, ${client.requests} requests, every digest checked`
  return { bytes: client.bytes, durationMs, detail, digest: root.digest }
}

/** Folders in the OCI image layout: what a node has that runs without containerd. */
export function embeddedStores(): DemoStores {
  return {
    kind: 'embedded OCI image-layout folders',
    async configFor(place) {
      await LayoutWriter.open(layoutOf(place))
      return { type: 'oci-layout', path: layoutOf(place) }
    },
    async add(node, { name, image }) {
      const writer = await LayoutWriter.open(layoutOf(node))
      for (const [digest, blob] of image.blobs) await writer.addBlob(blob.bytes(), digest)
      const visibleMs = performance.now()
      await writer.putImage(name, image.root)
      return visibleMs
    },
    pull,
    hints: (node, image) => [
      `curl --cacert ${node.trustDir}/server-ca.crt --cert ${node.trustDir}/client.crt --key ${node.trustDir}/client.key \\`,
      `  '${node.registryUrl}/v2/${image.repository}/manifests/${image.tag}?ns=${image.registry}'`,
    ],
    [Symbol.asyncDispose]: async () => {},
  }
}
