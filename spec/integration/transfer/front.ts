/**
 * Stands in front of a node's registry, shows its certificate and passes requests on, unspoiled or spoiled as the parent process
 * says last. Run as a process of its own, where the node lives: `front.ts TRUST_DIR ADDRESS REGISTRY_PORT OWN_PORT`.
 */
import { readFileSync } from 'node:fs'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { Agent, createServer, request } from 'node:https'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { closesAfterBytes, crawlBytesPerSecond, type Fault, type FrontReport } from './faults.ts'

const [trustDir = '', address = '', registryPort, ownPort] = process.argv.slice(2)
const file = (name: string) => readFileSync(join(trustDir, name))
const agent = new Agent({
  keepAlive: true,
  ca: file('server-ca.crt'),
  cert: file('client.crt'),
  key: file('client.key'),
})
let fault: Fault | 'none' = 'none'
process.on('message', (message: Fault | 'none') => {
  fault = message
})
process.once('disconnect', () => process.exit())

const report = (what: FrontReport) => void process.send?.(what)

async function crawl(answer: IncomingMessage, response: ServerResponse): Promise<void> {
  const stepBytes = crawlBytesPerSecond / 10
  for await (const chunk of answer as AsyncIterable<Buffer>) {
    for (let at = 0; at < chunk.length && !response.destroyed; at += stepBytes) {
      response.write(chunk.subarray(at, at + stepBytes))
      await delay(100)
    }
  }
  response.end()
}

async function closeEarly(answer: IncomingMessage, response: ServerResponse): Promise<void> {
  let left = closesAfterBytes
  for await (const chunk of answer as AsyncIterable<Buffer>) {
    const given = chunk.subarray(0, left)
    left -= given.length
    response.write(given)
    if (left > 0) continue
    response.socket?.end()
    return
  }
  response.end()
}

function passOn(answer: IncomingMessage, response: ServerResponse): void {
  const { statusCode = 502, headers } = answer
  const spoiled = statusCode < 300 && Number(headers['content-length']) > closesAfterBytes ? fault : 'none'
  if (spoiled !== 'none') report({ spoiled })
  if (spoiled === 'answers 500') {
    answer.destroy()
    response.writeHead(500, { 'content-length': 0 }).end()
    return
  }
  if (spoiled === 'answers a wrong length') {
    const lengthBytes = Number(headers['content-length']) - 1
    response.writeHead(statusCode, { ...headers, 'content-length': lengthBytes })
    let left = lengthBytes
    answer.on('data', (chunk: Buffer) => {
      response.write(chunk.subarray(0, left))
      left -= Math.min(left, chunk.length)
    })
    answer.on('end', () => response.end())
    return
  }
  response.writeHead(statusCode, headers)
  const how = { 'sends 10 KB a second': crawl, 'closes after some bytes': closeEarly }[spoiled as string]
  if (how === undefined) answer.pipe(response)
  else void how(answer, response).catch(() => response.destroy())
}

const server = createServer(
  {
    ca: file('client-ca.crt'),
    cert: file('serving.crt'),
    key: file('serving.key'),
    requestCert: true,
    rejectUnauthorized: true,
  },
  (incoming, response) => {
    const { method, headers, url: path } = incoming
    const onward = request({ host: address, port: registryPort, method, headers, path, agent })
    response.on('error', () => {})
    response.once('close', () => onward.destroy())
    onward.once('error', () => response.destroy())
    onward.once('response', (answer) => {
      answer.on('error', () => response.destroy())
      passOn(answer, response)
    })
    onward.end()
  },
)
server.on('tlsClientError', () => {})
server.listen(Number(ownPort), address, () => report({ ready: true }))
