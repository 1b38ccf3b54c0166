import { createOpsClient } from '../../../lib/ops/client.ts'
import { eventually } from '../eventually.ts'
import type { ClusterNode } from './node-process.ts'
import { fetchRegistry } from './registry-client.ts'
import { viewOf } from './views.ts'

const refusedMessage = 'a node was revoked: it is refused from now on'

/** When `node` began to refuse the node of this name, by its own log; milliseconds since 1970. */
export function refusedSinceMs(node: ClusterNode, name: string): number | undefined {
  const line = node.logs().find((entry) => entry.msg === refusedMessage && entry.name === name)
  return line === undefined ? undefined : Date.parse(line.time)
}

/**
 * Revokes `out` on `server`; milliseconds from the request until each of `live` refuses it. Afterwards each of them has
 * answered its certificate with 403 and has it for no live member.
 */
export async function revocationTimes(
  server: ClusterNode,
  out: ClusterNode,
  live: readonly ClusterNode[],
): Promise<number[]> {
  const startedMs = Date.now()
  await createOpsClient(server.opsSocket).admin('node-revoke', { name: out.name, reason: 'test' })
  await eventually(() => live.every((node) => refusedSinceMs(node, out.name) !== undefined), {
    timeoutMs: 60_000,
    intervalMs: 250,
    what: `all nodes to refuse ${out.name}`,
  })
  const tls = await out.clientTls()
  for (const node of live) {
    const { status } = await fetchRegistry(new URL('/v2/', node.registryUrl), tls)
    if (status !== 403) throw new Error(`${node.name} answers ${out.name} with ${status}`)
    const view = await viewOf(node, out)
    if (view?.state === 'alive') throw new Error(`${out.name} is a live member for ${node.name}`)
  }
  return live.map((node) => (refusedSinceMs(node, out.name) as number) - startedMs)
}
