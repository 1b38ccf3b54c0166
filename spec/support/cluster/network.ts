/** Where the nodes of a test cluster live. */
export interface ClusterNetwork extends AsyncDisposable {
  /** The IP address of a node; the test reaches it there. */
  addressOf(index: number): string
  /** An address of the test itself that every node reaches, for an upstream registry. */
  readonly hostAddress: string
  /** The command that runs a program where the node lives. */
  commandFor(index: number, file: string, args: readonly string[]): readonly [string, ...string[]]
}

/** A network in which packets can be made to vanish. */
export interface CuttableNetwork extends ClusterNetwork {
  /** Packets between nodes of different groups vanish; nodes that are in no group are cut off from all. */
  cut(groups: readonly (readonly number[])[]): Promise<void>
  /** Packets from one node to another vanish; those of the other direction arrive. Replaces earlier cuts. */
  cutOneWay(from: number, to: number): Promise<void>
  /** All datagrams vanish, TCP goes on. Replaces earlier cuts. */
  blockUdp(): Promise<void>
  /** How many packets have vanished on their way to a node since the last cut. */
  vanished(index: number): Promise<number>
  heal(): Promise<void>
  /** Takes the link of a node down or up, as when its cable is pulled. */
  setLink(index: number, up: boolean): Promise<void>
}

export function isCuttable(network: ClusterNetwork): network is CuttableNetwork {
  return 'cut' in network
}

let counter = 0

/**
 * Each node gets an address of its own in 127/8; which ones depends on this process, so that test files that run at
 * once don't meet. `addresses` chooses them.
 */
export function loopbackNetwork(addresses?: readonly string[]): ClusterNetwork {
  counter += 1
  const second = 10 + (process.pid % 200)
  const third = (Math.floor(process.pid / 200) * 7 + counter) % 250
  return {
    hostAddress: '127.0.0.1',
    addressOf: (index) => addresses?.[index] ?? `127.${second}.${third}.${index + 1}`,
    commandFor: (_index, file, args) => [file, ...args],
    [Symbol.asyncDispose]: async () => {},
  }
}
