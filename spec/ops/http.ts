import { type RequestOptions, request } from 'node:http'
import { type RequestOptions as TlsRequestOptions, request as tlsRequest } from 'node:https'

export interface HttpAnswer {
  readonly status: number
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  readonly body: string
}

/** One request on a connection of its own, over a Unix socket or TLS. */
export function ask(options: RequestOptions | TlsRequestOptions, body?: string): Promise<HttpAnswer> {
  return new Promise((resolve, reject) => {
    const send = 'socketPath' in options ? request : tlsRequest
    const outgoing = send({ agent: false, ...options }, (incoming) => {
      let text = ''
      incoming.setEncoding('utf8')
      incoming.on('data', (chunk: string) => {
        text += chunk
      })
      incoming.once('error', reject)
      incoming.once('end', () =>
        resolve({ status: incoming.statusCode ?? 0, headers: incoming.headers, body: text }),
      )
    })
    outgoing.once('error', reject)
    outgoing.end(body)
  })
}
