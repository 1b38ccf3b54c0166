import type { IncomingMessage } from 'node:http'
import { request } from 'node:https'
import { setTimeout as delay } from 'node:timers/promises'
import type { ClusterNode } from '../../support/cluster/node-process.ts'

export interface Reading {
  /** Drop the connection after so many bytes. */
  readonly stopAtBytes: number
  /** Wait so long after each part that comes. */
  readonly pauseMs?: number
  readonly signal?: AbortSignal
}

export interface ReadEnd {
  readonly status: number
  readonly bytes: number
  readonly durationMs: number
}

/** Reads the beginning of a body over a connection of its own without looking at it; an aborted one ends where it is. */
export async function readSome(node: ClusterNode, path: string, reading: Reading): Promise<ReadEnd> {
  const { stopAtBytes, pauseMs = 0, signal } = reading
  const tls = await node.clientTls()
  const startedMs = performance.now()
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    const outgoing = request(new URL(path, node.registryUrl), { ...tls, agent: false })
    outgoing.on('error', reject)
    outgoing.once('response', resolve)
    outgoing.end()
  })
  signal?.addEventListener('abort', () => response.destroy(), { once: true })
  let bytes = 0
  try {
    for await (const chunk of response as AsyncIterable<Buffer>) {
      bytes += chunk.length
      if (bytes >= stopAtBytes) break
      if (pauseMs > 0) await delay(pauseMs, undefined, signal === undefined ? {} : { signal })
    }
  } catch (error) {
    if (signal?.aborted !== true) throw error
  }
  response.destroy()
  return { status: response.statusCode ?? 0, bytes, durationMs: performance.now() - startedMs }
}
