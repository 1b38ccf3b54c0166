import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { Readable } from 'node:stream'
import type { Digest } from '../../lib/core/digest.ts'
import type { TestBlob, TestImage } from '../support/oci-image.ts'

/** One request, in the order of a script's common log. */
export interface SeenRequest {
  /** Which registry was asked. */
  readonly of: string
  /** `HEAD manifests/1`, `GET blobs/sha256:…` */
  readonly what: string
  readonly range: string | undefined
  readonly ns: string | null
  readonly atMs: number
}

export interface ScriptedAnswer {
  readonly response: ServerResponse
  readonly socket: Socket
  readonly blob: TestBlob
  readonly bytes: Buffer
  /** First byte that is asked for. */
  readonly start: number
}

/** What is done instead of a right answer; false leaves it to the registry. */
export type Script = (request: SeenRequest, answer: ScriptedAnswer) => boolean

/** A registry over HTTP that serves one image as tag `1` of any repository, and misbehaves as it is told. */
export interface ScriptedRegistry extends AsyncDisposable {
  readonly url: string
}

/** The head of a right answer to a GET, with 206 where a range was asked for. */
export function writeHead({ response, blob, bytes, start }: ScriptedAnswer, ranged: boolean): void {
  response.writeHead(ranged ? 206 : 200, {
    'content-type': blob.descriptor.mediaType,
    'content-length': bytes.length - start,
    'docker-content-digest': blob.descriptor.digest,
    ...(ranged ? { 'content-range': `bytes ${start}-${bytes.length - 1}/${bytes.length}` } : {}),
  })
}

function answer(request: SeenRequest, scripted: ScriptedAnswer): void {
  writeHead(scripted, request.range !== undefined)
  scripted.response.end(request.what.startsWith('HEAD') ? undefined : scripted.bytes.subarray(scripted.start))
}

/** Starts it on loopback; its requests go to the end of `seen`. */
export async function startScriptedRegistry(
  of: string,
  image: TestImage,
  seen: SeenRequest[],
  script: Script = () => false,
): Promise<ScriptedRegistry> {
  const handle = async (incoming: IncomingMessage, response: ServerResponse): Promise<void> => {
    const url = new URL(incoming.url ?? '', 'http://registry')
    const [kind = '', reference = ''] = url.pathname.split('/').slice(-2)
    const request: SeenRequest = {
      of,
      what: `${incoming.method} ${kind}/${reference}`,
      range: incoming.headers.range,
      ns: url.searchParams.get('ns'),
      atMs: performance.now(),
    }
    seen.push(request)
    const blob = image.blobs.get((reference === '1' ? image.root.digest : reference) as Digest)
    if (blob === undefined) return void response.writeHead(404).end()
    const bytes = Buffer.concat(await Readable.from(blob.bytes()).toArray())
    const start = Number(/^bytes=(\d+)-/.exec(request.range ?? '')?.[1] ?? 0)
    const scripted = { response, socket: incoming.socket, blob, bytes, start }
    if (!script(request, scripted)) answer(request, scripted)
  }
  const server = createServer((incoming, response) => void handle(incoming, response))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      server.close()
    },
  }
}
