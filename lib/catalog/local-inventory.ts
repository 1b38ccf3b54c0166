import { LRUCache } from 'lru-cache'
import type { StoreBlob, StoreChange, StoreImage } from '../core/content-store.ts'
import type { Digest } from '../core/digest.ts'
import { canonicalRegistry, type OfferFilter, type Reference, tryParseReference } from '../core/reference.ts'
import { imageKey, sameBlob } from '../core/store-view.ts'
import type { TagPair } from './elements.ts'
import { type InventoryChange, LocalRegistry } from './local-registry.ts'
import { runSteps, type Steps, stepElements } from './transition.ts'

interface KnownImage {
  readonly image: StoreImage
  /** Undefined for names that are no references: CRI's `sha256:…`. */
  readonly reference: Reference | undefined
}

/** Blobs whose arrival is waited for, at most; a download that takes longer than so many others is known by its image alone. */
const maxExpected = 16_384

/** The host of a registry without its port, as containerd's source label has it. */
function hostOf(registry: string): string {
  return registry.replace(/:\d+$/, '')
}

/**
 * What this node offers of each registry, kept up with the store's changes at a cost in proportion to the change:
 * every present digest that an image reference of the registry reaches, present blobs whose source label names it, and
 * the tags whose target is present and that the filter lets pass.
 *
 * containerd drops the port in the label, so the label `registry.example.com` may mean `registry.example.com:5000`.
 * A label counts for the registry of just that name, unless an image here names the same host with a port: then the
 * label proves nothing, and image references alone say what belongs where. A label never makes a registry known
 * (`namedRegistries`): a blob may arrive before the image that shows its port. What the local client asked for says the
 * port, too (`expect`): a blob that it asked a registry for, and whose label names that host, belongs to just that registry.
 *
 * The same tag with different targets in two namespaces is offered twice, and so is disputed.
 */
export class LocalInventory {
  readonly #filter: OfferFilter
  readonly #blobs = new Map<Digest, StoreBlob>()
  readonly #images = new Map<string, KnownImage>()
  readonly #registries = new Map<string, LocalRegistry>()
  /** Blobs by the label's host. */
  readonly #labelled = new Map<string, Set<Digest>>()
  /** How many images name a host together with a port. */
  readonly #withPort = new Map<string, number>()
  /** With a port only: the registries from which the local client wanted blobs. */
  readonly #expected = new LRUCache<Digest, string>({ max: maxExpected })
  readonly #touched = new Set<LocalRegistry>()
  #heard = false

  constructor(filter: OfferFilter) {
    this.#filter = filter
  }

  /** Has the store told anything yet? Before that, an empty inventory means nothing. */
  get heard(): boolean {
    return this.#heard
  }

  /** The local client has asked for a blob of this registry, and is about to have it. */
  expect(registry: string, digest: Digest): void {
    if (hostOf(registry) !== registry) this.#expected.set(digest, registry)
  }

  /** Registries that image references name. */
  namedRegistries(): string[] {
    return [...this.#registries].filter(([, local]) => local.isNamed).map(([registry]) => registry)
  }

  hasDigest(registry: string, digest: Digest): boolean {
    return this.#registries.get(registry)?.digests.has(digest) === true
  }

  hasTag(registry: string, pair: TagPair): boolean {
    return this.#registries.get(registry)?.hasTag(pair) === true
  }

  hasRepository(registry: string, repository: string): boolean {
    return this.#registries.get(registry)?.hasRepository(repository) === true
  }

  digests(registry: string): Iterable<Digest> {
    return this.#registries.get(registry)?.digests ?? []
  }

  tags(registry: string): Iterable<TagPair> {
    return this.#registries.get(registry)?.tags() ?? []
  }

  /** A present blob, of whatever registry. */
  blob(digest: Digest): StoreBlob | undefined {
    return this.#blobs.get(digest)
  }

  /** How many digests and tags are offered of a registry, and how many images. */
  count(registry: string): { digests: number; tags: number; images: number } {
    const local = this.#registries.get(registry)
    return {
      digests: local?.digests.size ?? 0,
      tags: local?.tagCount ?? 0,
      images: local?.reach.rootCount ?? 0,
    }
  }

  /** Applies a change at once. */
  apply(change: StoreChange): InventoryChange[] {
    return runSteps(this.applySteps(change))
  }

  /** Applies a change and returns what it comes to, in parts of bounded size; large ones take several steps. */
  *applySteps(change: StoreChange): Steps<InventoryChange[]> {
    this.#heard = true
    switch (change.type) {
      case 'snapshot':
        yield* this.#replaceAll(change.images, change.blobs)
        break
      case 'image-put':
        for (const blob of change.blobs) this.#putBlob(blob)
        this.#putImage(change.image)
        break
      case 'image-deleted':
        this.#deleteImage(imageKey(change.namespace, change.name))
        break
      case 'blob-put':
        this.#putBlob(change.blob)
        break
      case 'blob-deleted':
        this.#deleteBlob(change.digest)
    }
    return yield* this.#settle()
  }

  *#replaceAll(images: readonly StoreImage[], blobs: readonly StoreBlob[]): Steps<void> {
    let steps = 0
    const pause = (): boolean => {
      steps += 1
      return steps % stepElements === 0
    }
    const listedBlobs = new Set<Digest>()
    for (const blob of blobs) {
      listedBlobs.add(blob.digest)
      this.#putBlob(blob)
      if (pause()) yield
    }
    const listedImages = new Set<string>()
    for (const image of images) {
      listedImages.add(imageKey(image.namespace, image.name))
      this.#putImage(image)
      if (pause()) yield
    }
    for (const key of [...this.#images.keys()]) {
      if (!listedImages.has(key)) this.#deleteImage(key)
      if (pause()) yield
    }
    for (const digest of [...this.#blobs.keys()]) {
      if (!listedBlobs.has(digest)) this.#deleteBlob(digest)
      if (pause()) yield
    }
  }

  #putBlob(blob: StoreBlob): void {
    const known = this.#blobs.get(blob.digest)
    if (known !== undefined && sameBlob(known, blob)) return
    if (known !== undefined) this.#deleteBlob(blob.digest)
    this.#blobs.set(blob.digest, blob)
    for (const source of blob.sources) {
      const host = canonicalRegistry(source)
      this.#labelled.set(host, (this.#labelled.get(host) ?? new Set()).add(blob.digest))
    }
    this.#touchHolders(blob, 'appeared')
  }

  #deleteBlob(digest: Digest): void {
    const blob = this.#blobs.get(digest)
    if (blob === undefined) return
    this.#blobs.delete(digest)
    this.#touchHolders(blob, 'vanished')
    for (const source of blob.sources) {
      const host = canonicalRegistry(source)
      const digests = this.#labelled.get(host)
      digests?.delete(digest)
      if (digests?.size === 0) this.#labelled.delete(host)
    }
  }

  /** Tells every registry that has to do with a blob that it came or went. */
  #touchHolders(blob: StoreBlob, what: 'appeared' | 'vanished'): void {
    const labels = new Set(blob.sources.map(canonicalRegistry))
    const expected = this.#expected.get(blob.digest)
    if (expected !== undefined && labels.has(hostOf(expected))) labels.add(expected)
    for (const label of labels) this.#local(label)
    for (const [registry, local] of this.#registries) {
      const reached = local.reach.reaches(blob.digest)
      if (!reached && !labels.has(registry)) continue
      if (reached && blob.children !== undefined) local.reach[what](blob.digest, blob.children)
      local.touch(blob.digest)
      this.#touched.add(local)
    }
  }

  #putImage(image: StoreImage): void {
    const key = imageKey(image.namespace, image.name)
    const known = this.#images.get(key)
    if (known?.image.target === image.target) return
    const reference = tryParseReference(image.name)
    this.#images.set(key, { image, reference })
    // The new target is named before the old one is let go: what both share is not looked at twice.
    if (reference !== undefined) this.#name(reference, image.target)
    if (known?.reference !== undefined) this.#unname(known.reference, known.image.target)
  }

  #deleteImage(key: string): void {
    const known = this.#images.get(key)
    if (known === undefined) return
    this.#images.delete(key)
    if (known.reference !== undefined) this.#unname(known.reference, known.image.target)
  }

  #name(reference: Reference, target: Digest): void {
    const local = this.#local(reference.registry)
    this.#touched.add(local)
    local.addImage(reference.repository, claimedTag(reference), target)
    const host = hostOf(reference.registry)
    if (host === reference.registry) return
    const images = (this.#withPort.get(host) ?? 0) + 1
    this.#withPort.set(host, images)
    if (images === 1) this.#touchLabelled(host)
  }

  #unname(reference: Reference, target: Digest): void {
    const local = this.#local(reference.registry)
    this.#touched.add(local)
    local.removeImage(reference.repository, claimedTag(reference), target)
    const host = hostOf(reference.registry)
    if (host === reference.registry) return
    const images = (this.#withPort.get(host) ?? 1) - 1
    if (images > 0) this.#withPort.set(host, images)
    else this.#withPort.delete(host)
    if (images === 0) this.#touchLabelled(host)
  }

  /** Whether labels of a host count has changed. */
  #touchLabelled(host: string): void {
    const digests = this.#labelled.get(host)
    if (digests === undefined) return
    const local = this.#local(host)
    this.#touched.add(local)
    for (const digest of digests) local.touch(digest)
  }

  *#settle(): Steps<InventoryChange[]> {
    const changes: InventoryChange[] = []
    for (const local of this.#touched) changes.push(...(yield* local.settle()))
    this.#touched.clear()
    for (const [registry, local] of this.#registries) {
      if (local.empty && !this.#labelled.has(registry)) this.#registries.delete(registry)
    }
    return changes
  }

  #isLabelled(registry: string, digest: Digest): boolean {
    const host = hostOf(registry)
    if (this.#labelled.get(host)?.has(digest) !== true) return false
    const expected = this.#expected.peek(digest)
    if (expected !== undefined && hostOf(expected) === host) return expected === registry
    return host === registry && !this.#withPort.has(registry)
  }

  #local(registry: string): LocalRegistry {
    let local = this.#registries.get(registry)
    if (local === undefined) {
      local = new LocalRegistry(registry, {
        isPresent: (digest) => this.#blobs.has(digest),
        childrenOf: (digest) => this.#blobs.get(digest)?.children,
        isLabelled: (digest) => this.#isLabelled(registry, digest),
        offersTag: (pair) => this.#filter.offers(registry, pair.repository, pair.tag),
      })
      this.#registries.set(registry, local)
    }
    return local
  }
}

/** `name:tag@digest` was pulled by digest: nobody has asked what the tag points to. */
function claimedTag(reference: Reference): string | undefined {
  return reference.digest === undefined ? reference.tag : undefined
}
