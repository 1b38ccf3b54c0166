import { once } from 'node:events'
import { type IncomingMessage, request } from 'node:http'

export interface OpsAnswer {
  readonly status: number
  readonly body: string
}

/** One GET over the ops socket. @throws Error where nobody listens or nothing comes within `timeoutMs` */
export async function opsGet(socketPath: string, path: string, timeoutMs = 5000): Promise<OpsAnswer> {
  const outgoing = request({ socketPath, path, agent: false, timeout: timeoutMs })
  outgoing.once('timeout', () => outgoing.destroy(new Error(`no answer to ${path} within ${timeoutMs} ms`)))
  outgoing.end()
  const [response] = (await once(outgoing, 'response')) as [IncomingMessage]
  let body = ''
  response.setEncoding('utf8')
  for await (const chunk of response) body += chunk
  return { status: response.statusCode ?? 0, body }
}

/** The JSON under /api/v1. @throws Error for any status but 200 */
export async function opsJson<T>(socketPath: string, path: string): Promise<T> {
  const { status, body } = await opsGet(socketPath, `/api/v1/${path}`)
  if (status !== 200) throw new Error(`${path}: ${status} ${body}`)
  return JSON.parse(body) as T
}
