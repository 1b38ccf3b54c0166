import type { ChildProcess } from 'node:child_process'
import { join } from 'node:path'
import type { ClusterNode } from '../../support/cluster/node-process.ts'
import type { Cluster } from '../../support/cluster.ts'
import { eventually } from '../../support/eventually.ts'
import { endBy, runOrFail, startOwned } from '../../support/processes.ts'
import type { Fault, FrontReport } from './faults.ts'

const frontPort = 7443

/** A process in front of a node's registry port that spoils its answers when it is told. */
export class Front {
  readonly node: ClusterNode
  readonly #command: readonly [string, ...string[]]
  #child: ChildProcess | undefined
  #spoiled = 0

  constructor(cluster: Cluster, node: ClusterNode) {
    this.node = node
    this.#command = cluster.network.commandFor(node.index, process.execPath, [
      join(import.meta.dirname, 'front.ts'),
      ...[node.trustDir, node.address, new URL(node.registryUrl).port, String(frontPort)],
    ])
  }

  async start(): Promise<void> {
    const [file, ...args] = this.#command
    const child = startOwned(file, args, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
    this.#child = child
    let ready = false
    child.on('message', (report: FrontReport) => {
      if ('ready' in report) ready = true
      else this.#spoiled++
    })
    await eventually(() => ready, { what: `the front of ${this.node.name}` })
  }

  async kill(): Promise<void> {
    if (this.#child !== undefined) await endBy(this.#child, 'SIGKILL')
  }

  /** From now on, each body that begins. */
  spoil(fault: Fault | 'none'): void {
    this.#child?.send(fault)
  }

  /** Bodies that were spoiled. */
  get spoiled(): number {
    return this.#spoiled
  }
}

/**
 * Whoever asks a node of a network of namespaces from outside meets the front: the packet filter of its namespace redirects the
 * port. The node itself and what it announces stay as they are.
 */
export async function startFront(cluster: Cluster, node: ClusterNode): Promise<Front> {
  const front = new Front(cluster, node)
  await front.start()
  const rules = `table ip starling_front {
    chain arriving {
      type nat hook prerouting priority -100
      iifname "eth0" tcp dport ${new URL(node.registryUrl).port} redirect to :${frontPort}
    }
  }`
  const [nft, ...args] = cluster.network.commandFor(node.index, 'nft', ['-f', '-'])
  await runOrFail(nft, args, { input: rules })
  return front
}
