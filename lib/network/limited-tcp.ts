import { BlockList, type SocketAddress } from 'node:net'
import type { ConnectionProtector, MultiaddrConnection, Transport, Upgrader } from '@libp2p/interface'
import { tcp } from '@libp2p/tcp'

const backlog = 512

type TcpFactory = ReturnType<typeof tcp>
type UpgradeOptions = Parameters<Upgrader['upgradeInbound']>[1]

/** What is asked about inbound connections, first of all. */
export interface InboundPolicy {
  isTooFast(host: string): boolean
  denies(connection: MultiaddrConnection): boolean
}

/**
 * libp2p's TCP transport, whose listeners ask a policy before anything is done for a connection, and hand on to libp2p's
 * upgrader only what has passed the first gate. The upgrader sets up objects and timers that live for seconds: under a
 * flood of strangers they would be most of the memory. `protector` gives the same stream again when libp2p asks for it.
 */
export function limitedTcp(policy: InboundPolicy, protector: ConnectionProtector): TcpFactory {
  const factory = tcp({ backlog })
  return (components) => {
    const transport: Transport = factory(components)
    const createListener = transport.createListener.bind(transport)
    transport.createListener = (options) => {
      // The transport passes on to net.createServer what it does not know.
      const limited = {
        ...options,
        upgrader: limitedUpgrader(options.upgrader, policy, protector),
        blockList: new RateBlockList(policy),
      }
      return createListener(limited)
    }
    return transport
  }
}

/** Node closes what a server's block list names before it makes a socket of it: the cheapest way to say no. */
class RateBlockList extends BlockList {
  readonly #policy: InboundPolicy

  constructor(policy: InboundPolicy) {
    super()
    this.#policy = policy
  }

  override check(address: string | SocketAddress): boolean {
    return this.#policy.isTooFast(typeof address === 'string' ? address : address.address)
  }
}

function limitedUpgrader(
  upgrader: Upgrader,
  policy: InboundPolicy,
  protector: ConnectionProtector,
): Upgrader {
  return {
    upgradeInbound: async (connection: MultiaddrConnection, options: UpgradeOptions) => {
      if (policy.denies(connection)) throw new Error('too many connections')
      await protector.protect(connection, options)
      await upgrader.upgradeInbound(connection, options)
    },
    upgradeOutbound: (connection: MultiaddrConnection, options: UpgradeOptions) =>
      upgrader.upgradeOutbound(connection, options),
    createInboundAbortSignal: (signal) => upgrader.createInboundAbortSignal(signal),
    getStreamMuxers: () => upgrader.getStreamMuxers(),
    getConnectionEncrypters: () => upgrader.getConnectionEncrypters(),
  }
}
