import type { Socket } from 'node:net'

/** How long the other side may take to close after our end of the connection has ended. */
const lingerMs = 5000

/**
 * Ends a connection so that the other side sees the last bytes, TLS close_notify and FIN, never a reset: what it sends
 * meanwhile is read and thrown away, and the socket is closed only when it has closed too, or after a while.
 * A reset would fail a pull of containerd for good.
 */
export function lingeringEnd(socket: Socket): void {
  if (socket.destroyed) return
  const timer = setTimeout(() => socket.destroy(), lingerMs)
  socket.once('close', () => clearTimeout(timer))
  socket.on('error', () => socket.destroy())
  socket.end()
  socket.resume()
}
