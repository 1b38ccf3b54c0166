import { randomBytes } from 'node:crypto'
import { readdirSync, readlinkSync } from 'node:fs'
import { Agent, request } from 'node:https'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import type { CredentialSet } from '../../../lib/core/credentials.ts'
import type { Digest } from '../../../lib/core/digest.ts'
import { LayoutWriter } from '../../../lib/oci-layout/writer.ts'
import { FileBlobs } from '../../registry/file-blobs.ts'
import {
  blobPath,
  candidateOf,
  clientTls,
  digestOf,
  repository,
  SpecControl,
  startPlane,
  type TestPlane,
} from '../../registry/harness.ts'
import { type HostilePeer, misbehaviours, startHostilePeer } from '../../registry/hostile-peer.ts'
import { tempFolder } from '../../support/temp-folder.ts'
import { makeTestCluster } from '../../support/test-trust.ts'

const largeBytes = 3 * 2 ** 20
const atOnce = 16

/** What a node holds open in this process. */
export interface OpenThings {
  readonly files: number
  readonly sockets: number
  readonly timers: number
  /** Heap and buffers after a collection. */
  readonly memoryBytes: number
}

/** Remembers nothing of what it is told; names the first candidate last for three lookups of four. */
class ForgetfulControl extends SpecControl {
  #lookups = 0

  override async lookup(query: Parameters<SpecControl['lookup']>[0]): ReturnType<SpecControl['lookup']> {
    const answer = await super.lookup(query)
    if (!answer.found || this.#lookups++ % 4 === 0) return answer
    return { ...answer, candidates: [...answer.candidates].reverse() }
  }

  override transferred(): void {
    this.running--
  }
  override requested(): void {}
}

/** One way to ask, and what may be answered. `drop` ends the connection at the first bytes, `slow` reads in steps. */
interface Fate {
  readonly method?: string
  readonly path: string
  readonly range?: string
  readonly statuses: readonly number[]
  readonly how?: 'drop' | 'slow'
}

const collect = (): void => {
  setFlagsFromString('--expose-gc')
  runInNewContext('gc')()
}

/** Counts what is open now. */
export function openThings(): OpenThings {
  const links = readdirSync('/proc/self/fd').flatMap((fd) => {
    try {
      return [readlinkSync(`/proc/self/fd/${fd}`)]
    } catch {
      return []
    }
  })
  collect()
  const { heapUsed, external } = process.memoryUsage()
  return {
    files: links.filter((link) => link.includes('/blobs/')).length,
    sockets: links.filter((link) => link.startsWith('socket:')).length,
    timers: process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length,
    memoryBytes: heapUsed + external,
  }
}

/**
 * Two nodes' registries in this process and a peer that dies in the middle of what it sends; asked for blobs in every way there
 * is, good and bad.
 */
export class MixedRequests implements AsyncDisposable {
  readonly #credentials: CredentialSet
  readonly #undo: AsyncDisposableStack
  readonly #asking: TestPlane
  readonly #fates: readonly Fate[]
  #agent: Agent

  private constructor(
    credentials: CredentialSet,
    undo: AsyncDisposableStack,
    asking: TestPlane,
    fates: readonly Fate[],
  ) {
    this.#credentials = credentials
    this.#undo = undo
    this.#asking = asking
    this.#fates = fates
    this.#agent = this.#newAgent()
  }

  static async start(): Promise<MixedRequests> {
    await using undo = new AsyncDisposableStack()
    const folder = undo.use(await tempFolder('mixed')).path
    const cluster = await makeTestCluster({
      nodes: ['asking', 'honest', 'hostile'].map((name) => ({ name })),
    })
    const node = (name: string) => cluster.get(name) as CredentialSet
    const bodies = {
      small: randomBytes(20_000),
      large: randomBytes(largeBytes),
      far: randomBytes(largeBytes),
    }
    const plane = async (name: string, host: string, held: readonly Buffer[]): Promise<TestPlane> => {
      const path = join(folder, name)
      const writer = await LayoutWriter.open(path)
      const blobs = new FileBlobs(path)
      for (const body of held) await writer.addBlob(body, blobs.put(body))
      const limits = { maxPerHostPerSecond: 100_000 }
      return undo.use(await startPlane(node(name), { host, control: new ForgetfulControl(blobs), limits }))
    }
    const asking = await plane('asking', '127.0.11.81', [bodies.small, bodies.large])
    const farSmall = randomBytes(30_000)
    const honest = await plane('honest', '127.0.11.82', [bodies.far, farSmall])
    const hostile: HostilePeer = undo.use(
      await startHostilePeer(node('hostile'), '127.0.11.83', bodies.far, misbehaviours['dies in the middle']),
    )
    asking.control.candidates = [
      candidateOf(node('hostile'), hostile.endpoint),
      candidateOf(node('honest'), honest.endpoint),
    ]
    const fates = fatesOf(
      digestOf(bodies.small),
      digestOf(bodies.large),
      digestOf(bodies.far),
      digestOf(farSmall),
    )
    return new MixedRequests(node('asking'), undo.move(), asking, fates)
  }

  /** Sends so many requests, each fate in turn. @throws Error where one is answered otherwise than it may be */
  async run(count: number): Promise<void> {
    let next = 0
    const work = async () => {
      while (next < count) await this.#send(this.#fates[next++ % this.#fates.length] as Fate)
    }
    await Promise.all(Array.from({ length: atOnce }, work))
  }

  /** The clients go away. */
  hangUp(): void {
    this.#agent.destroy()
    this.#agent = this.#newAgent()
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.hangUp()
    return this.#undo.disposeAsync()
  }

  #newAgent(): Agent {
    return new Agent({ keepAlive: true, maxSockets: atOnce, checkServerIdentity: () => undefined })
  }

  #send({ method = 'GET', path, range, statuses, how }: Fate): Promise<void> {
    const { checkServerIdentity, ...tls } = clientTls(this.#credentials)
    const { host, port } = this.#asking.endpoint
    return new Promise((resolve, reject) => {
      const outgoing = request({
        ...tls,
        ...(how === 'drop' ? { agent: false, checkServerIdentity } : { agent: this.#agent }),
        ...{ host, port, method, path, timeout: 20_000 },
        headers: range === undefined ? {} : { range: `bytes=${range}` },
      })
      outgoing.once('timeout', () => outgoing.destroy(new Error(`no answer to ${method} ${path}`)))
      outgoing.on('error', reject)
      outgoing.once('response', async (response) => {
        if (!statuses.includes(response.statusCode ?? 0)) {
          reject(new Error(`${method} ${path} ${range}: ${response.statusCode}`))
        }
        try {
          for await (const _ of response) {
            if (how === 'drop') break
            if (how === 'slow') await delay(2)
          }
          if (how !== 'drop' && !response.complete) throw new Error(`${method} ${path} ended early`)
          resolve()
        } catch (error) {
          reject(error)
        }
      })
      outgoing.end()
    })
  }
}

function fatesOf(small: Digest, large: Digest, far: Digest, farSmall: Digest): Fate[] {
  const unknown = digestOf(Buffer.from('nobody has it'))
  const [ok, partial] = [[200], [206]]
  return [
    { path: blobPath(small), statuses: ok },
    { path: blobPath(farSmall), statuses: ok },
    { path: blobPath(small), statuses: ok, method: 'HEAD' },
    { path: blobPath(far), statuses: ok, method: 'HEAD' },
    { path: blobPath(small), range: '100-4999', statuses: partial },
    { path: blobPath(far), range: '1000000-1009999', statuses: partial },
    { path: blobPath(large), range: '-700', statuses: partial },
    { path: blobPath(small), range: '20000-', statuses: [416] },
    { path: blobPath(unknown), statuses: [404] },
    { path: blobPath(unknown), statuses: [404], method: 'HEAD' },
    { path: blobPath(large), statuses: ok, how: 'drop' },
    { path: blobPath(far), statuses: ok, how: 'drop' },
    { path: blobPath(far), range: '500-', statuses: partial, how: 'drop' },
    { path: blobPath(small), statuses: ok, how: 'slow' },
    { path: blobPath(small), statuses: [405], method: 'POST' },
    { path: `/v2/${repository}/blobs/sha256:zz?ns=registry.example.com:5000`, statuses: [400] },
    { path: `/v2/${repository}/blobs/${small}?ns=other.example.com`, statuses: [404] },
    { path: '/v2/../etc/passwd', statuses: [400, 404] },
    { path: blobPath(small), range: 'nonsense', statuses: ok },
    { path: blobPath(small), statuses: ok, method: 'HEAD' },
  ]
}
