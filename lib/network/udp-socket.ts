import { createSocket, type Socket } from 'node:dgram'
import { isIPv6 } from 'node:net'
import { systemErrorCode } from '../core/errors.ts'
import type { Endpoint } from '../core/peer.ts'
import { toListenError } from './listeners.ts'

const receiveBufferSizeBytes = 2 ** 20

/** A UDP socket bound to one address, which never asks the resolver. */
export interface BoundSocket {
  readonly socket: Socket
  /** With the real port where 0 was asked for. */
  readonly endpoint: Endpoint
}

/** @throws StarlingError PORT_IN_USE, CONFIG_INVALID; the system's error where UDP is not to be had at all */
export function bindSocket(endpoint: Endpoint): Promise<BoundSocket> {
  const ipv6 = isIPv6(endpoint.host)
  const socket = createSocket({
    type: ipv6 ? 'udp6' : 'udp4',
    // 0.0.0.0 and :: can then both be bound, as they are for TCP.
    ipv6Only: ipv6,
    recvBufferSize: receiveBufferSizeBytes,
    // Addresses only. dns.lookup would use the thread pool, which nothing on the heartbeat path may (DESIGN §1).
    lookup: (hostname, _options, callback) => callback(null, hostname, ipv6 ? 6 : 4),
  })
  return new Promise((resolve, reject) => {
    const onError = (error: Error) => {
      socket.close()
      const code = systemErrorCode(error)
      const unsupported = code === 'EAFNOSUPPORT' || code === 'EPERM' || code === 'EPROTONOSUPPORT'
      reject(unsupported ? error : toListenError(error, endpoint, 'UDP'))
    }
    socket.once('error', onError)
    socket.bind({ address: endpoint.host, port: endpoint.port, exclusive: true }, () => {
      socket.removeListener('error', onError)
      resolve({ socket, endpoint: { host: endpoint.host, port: socket.address().port } })
    })
  })
}

export function closeSocket({ socket }: BoundSocket): Promise<void> {
  return new Promise((resolve) => {
    socket.close(() => resolve())
  })
}
