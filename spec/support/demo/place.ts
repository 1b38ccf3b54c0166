import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { createServer } from 'node:net'

/** Addresses and ports for the nodes of the demo. */
export interface Place {
  readonly addresses: readonly string[]
  readonly p2pPort: number
  readonly registryPort: number
}

async function isFree(address: string, port: number, udp: boolean): Promise<boolean> {
  try {
    const server = createServer().listen({ host: address, port, exclusive: true })
    await once(server, 'listening')
    server.close()
    if (!udp) return true
    const socket = createSocket('udp4').bind({ address, port, exclusive: true })
    await once(socket, 'listening')
    socket.close()
    return true
  } catch {
    return false
  }
}

/**
 * 127.0.0.1 to 127.0.0.3 with the usual ports; where one of them is taken (a Kubernetes API server also uses 6443),
 * others. @throws Error where none of them is free
 */
export async function findPlace(count: number): Promise<Place> {
  const addresses = Array.from({ length: count }, (_, index) => `127.0.0.${index + 1}`)
  for (const [p2pPort, registryPort] of [
    [5001, 6443],
    [15_001, 16_443],
    [25_001, 26_443],
  ] as const) {
    const free = await Promise.all(
      addresses.flatMap((address) => [isFree(address, p2pPort, true), isFree(address, registryPort, false)]),
    )
    if (free.every(Boolean)) return { addresses, p2pPort, registryPort }
  }
  throw new Error(
    'the ports 5001 and 6443 (and 15001, 16443, 25001, 26443) are taken on 127.0.0.1 to 127.0.0.3',
  )
}
