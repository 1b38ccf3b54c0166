import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { ClusterNode } from '../support/cluster/node-process.ts'
import { type ClientTls, type Fetched, fetchRegistry } from '../support/cluster/registry-client.ts'
import { eventually } from '../support/eventually.ts'
import type { PlatformImage } from '../support/oci-image.ts'

/** The only registry whose images the puller asks for, under `team/app:1`. */
export const registry = 'pull.test'
export const waits = { timeoutMs: 60_000, intervalMs: 50 }

/** The holder got no processor in time, which is no matter of changes: containerd would go on at the next host. */
function isHeldUp(answer: Fetched | string): boolean {
  if (typeof answer === 'string' || answer.status !== 404) return false
  return /no (answer|connection) within \d+ ms/.test(String(answer.headers['starling-reason']))
}

/** Where containerd is told to ask. */
export async function addressOf(node: ClusterNode): Promise<string> {
  const text = await readFile(join(node.dir, 'certs.d', registry, 'hosts.toml'), 'utf8')
  return new URL('/', /host\."(https:[^"]+)/.exec(text)?.[1]).href
}

/** Pulls one image again and again, as containerd would, until it is ended; keeps everything that went wrong. */
export class Puller {
  readonly failures: string[] = []
  pulls = 0
  #ended = false
  readonly #node: ClusterNode
  readonly #image: PlatformImage
  readonly #done: Promise<void>
  tls: ClientTls

  constructor(node: ClusterNode, tls: ClientTls, image: PlatformImage) {
    this.#node = node
    this.tls = tls
    this.#image = image
    this.#done = this.#run()
  }

  async #run(): Promise<void> {
    const paths = [
      'manifests/1',
      `manifests/${this.#image.root.digest}`,
      ...this.#image.layers.map(({ digest }) => `blobs/${digest}`),
    ]
    while (!this.#ended) {
      // One pull keeps the address with which it began.
      const url = await addressOf(this.#node)
      let isWhole = true
      for (const path of paths) {
        const answer = await this.#fetch(new URL(`/v2/team/app/${path}?ns=${registry}`, url)).catch(String)
        if (isHeldUp(answer)) {
          isWhole = false
          continue
        }
        const wanted = path.startsWith('blobs') ? path.slice('blobs/'.length) : this.#image.root.digest
        if (typeof answer === 'string') this.failures.push(`${path}: ${answer}`)
        else if (answer.status !== 200 || answer.digest !== wanted) {
          this.failures.push(
            `${path}: ${answer.status} ${answer.end} ${answer.headers['starling-reason'] ?? answer.body}`,
          )
        }
      }
      if (isWhole) this.pulls += 1
    }
  }

  async #fetch(url: URL): Promise<Fetched> {
    return fetchRegistry(url, this.tls, { keepBody: true })
  }

  /** Waits until two pulls have begun and ended from now on. */
  async goesOn(): Promise<void> {
    const begun = this.pulls
    await eventually(() => this.pulls >= begun + 2, { ...waits, what: 'further pulls' })
    assert.deepEqual(this.failures.slice(0, 3), [])
  }

  async end(): Promise<void> {
    this.#ended = true
    await this.#done
  }
}
