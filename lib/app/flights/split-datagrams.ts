import type { DatagramTransport } from '../../core/messaging.ts'
import { flightsVersion } from '../../flights/messages.ts'

type Listener = Parameters<DatagramTransport['onDatagram']>[0]

/** The one datagram transport as two: what begins with the version byte of the flights is theirs, the rest the membership's. */
export function splitDatagrams(datagrams: DatagramTransport): {
  readonly membership: DatagramTransport
  readonly flights: DatagramTransport
} {
  let toFlights: Listener | undefined
  let toMembership: Listener | undefined
  datagrams.onDatagram((from, body, replyTo) => {
    const listener = body[0] === flightsVersion ? toFlights : toMembership
    listener?.(from, body, replyTo)
  })
  const half = (listen: (listener: Listener) => void): DatagramTransport => ({
    send: (to, body) => datagrams.send(to, body),
    available: () => datagrams.available(),
    onDatagram: listen,
  })
  return {
    membership: half((listener) => {
      toMembership = listener
    }),
    flights: half((listener) => {
      toFlights = listener
    }),
  }
}
