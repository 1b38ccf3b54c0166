import { createHash } from 'node:crypto'
import { connect } from 'node:tls'
import type { ClusterNode } from '../support/cluster/node-process.ts'

export interface RawEnd {
  readonly status: number
  /** `Content-Length` of the answer. */
  readonly announcedBytes: number
  readonly bytes: number
  /** `sha256:…` of the body as far as it came. */
  readonly digest: string
  /** `fin`, or the code of the error that ended the connection: `ECONNRESET`. */
  readonly end: string
}

/** A GET over a bare TLS connection that stops to read after some bytes, which holds the sender back. */
export interface RawDownload {
  /** Resolves when `stopAtBytes` of the body have come. */
  readonly stopped: Promise<void>
  /** Reads on. */
  resume(): void
  /** Resolves when the connection has ended. */
  readonly ended: Promise<RawEnd>
}

/** Begins to download from a node's registry with that node's client certificate. */
export async function beginRawDownload(
  node: ClusterNode,
  path: string,
  stopAtBytes: number,
): Promise<RawDownload> {
  const { hostname, port } = new URL(node.registryUrl)
  const socket = connect({ host: hostname, port: Number(port), ...(await node.clientTls()) })
  const { promise: stopped, resolve: stop } = Promise.withResolvers<void>()
  const { promise: ended, resolve: end } = Promise.withResolvers<RawEnd>()
  const hash = createHash('sha256')
  let head = ''
  let bytes = 0
  let how = 'closed without an end'
  const onBody = (chunk: Buffer): void => {
    const before = bytes
    bytes += chunk.length
    hash.update(chunk)
    if (before < stopAtBytes && bytes >= stopAtBytes) {
      socket.pause()
      stop()
    }
  }
  socket.on('data', (chunk: Buffer) => {
    if (head.endsWith('\r\n\r\n')) return onBody(chunk)
    const text = chunk.toString('latin1')
    const headEnd = text.indexOf('\r\n\r\n')
    if (headEnd === -1) {
      head += text
      return
    }
    head += text.slice(0, headEnd + 4)
    onBody(chunk.subarray(headEnd + 4))
  })
  socket.once('end', () => {
    how = 'fin'
  })
  socket.on('error', (error: NodeJS.ErrnoException) => {
    how = error.code ?? error.message
  })
  socket.once('close', () => {
    const announcedBytes = Number(/^content-length: (\d+)\r$/im.exec(head)?.[1])
    const status = Number(/^HTTP\/1\.1 (\d{3}) /.exec(head)?.[1])
    end({ status, announcedBytes, bytes, digest: `sha256:${hash.digest('hex')}`, end: how })
  })
  socket.write(`GET ${path} HTTP/1.1\r\nHost: ${hostname}:${port}\r\n\r\n`)
  return { stopped, resume: () => void socket.resume(), ended }
}
