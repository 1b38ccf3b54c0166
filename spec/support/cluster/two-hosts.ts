import { namespaceNetwork, skipWithoutNamespaces } from './namespaces.ts'
import { type ClusterNetwork, type CuttableNetwork, loopbackNetwork } from './network.ts'

/** Nodes that share the addresses of two hosts, and tell each other apart by their ports. */
export interface TwoHosts extends ClusterNetwork {
  /** What lies between the hosts, 0 and 1; nodes with an even index are on host 0. Undefined where nothing can be cut. */
  readonly hosts: CuttableNetwork | undefined
}

/** Two namespaces, or one address of the loopback where namespaces can't be made. */
export async function twoHosts(): Promise<TwoHosts> {
  if (skipWithoutNamespaces() !== false) {
    const loopback = loopbackNetwork()
    return { ...loopback, addressOf: () => loopback.addressOf(0), hosts: undefined }
  }
  const hosts = await namespaceNetwork(2)
  return {
    hosts,
    hostAddress: hosts.hostAddress,
    addressOf: (index) => hosts.addressOf(index % 2),
    commandFor: (index, file, args) => hosts.commandFor(index % 2, file, args),
    [Symbol.asyncDispose]: () => hosts[Symbol.asyncDispose](),
  }
}
