import type { RequestListener, Server } from 'node:http'
import { TLSSocket } from 'node:tls'
import { type FastifyInstance, type FastifyReply, type FastifyServerOptions, fastify } from 'fastify'
import { StarlingError } from '../core/errors.ts'
import type { AdminActions, NodeView } from '../core/ops-view.ts'
import type { Logger } from '../core/ports.ts'

const maxUrlLength = 4096
const maxQueryLength = 2048
const adminPath = '/api/v1/admin/'
const maxAdminBodySizeBytes = 16_384

const statusOfCode: Readonly<Record<string, number>> = {
  DIGEST_INVALID: 400,
  REFERENCE_INVALID: 400,
  USAGE: 400,
  NOT_FOUND: 404,
  ROTATION_REFUSED: 409,
}

export interface RoutesOptions {
  readonly view: NodeView
  readonly admin: AdminActions
  readonly log: Logger
  /** Why a request may not be answered; undefined where it may. */
  readonly refuse: (socket: object) => string | undefined
  /** Makes the server from fastify's request handler. */
  readonly createServer: (handler: RequestListener) => Server
}

/** Actions of every node; the others are those of servers. */
function isOfEveryNode(action: string): boolean {
  return action.startsWith('peers-')
}

function errorBody(code: string, message: string): object {
  return { error: { code, message } }
}

/** The ops API, version 1: read-only JSON under `/api/v1`, metrics as text, `/healthz` and `/readyz`. */
export function createRoutes(options: RoutesOptions): FastifyInstance {
  const { view, log } = options
  const serverOptions: FastifyServerOptions = {
    logger: false,
    routerOptions: { maxParamLength: maxUrlLength },
    serverFactory: (handler) => options.createServer(handler as RequestListener),
    frameworkErrors: (_error, _request, reply: FastifyReply) => {
      reply.code(400).send(errorBody('USAGE', 'the URL is malformed'))
    },
  }
  const app = fastify({ ...serverOptions, bodyLimit: maxAdminBodySizeBytes })

  app.addHook('onRequest', async (request, reply) => {
    const { headers, method, socket, url } = request.raw
    const refusal = options.refuse(socket)
    if (refusal !== undefined) {
      return reply.code(403).header('connection', 'close').send(errorBody('USAGE', refusal))
    }
    if (method === 'POST' && url?.startsWith(adminPath) && !(socket instanceof TLSSocket)) return undefined
    if (method !== 'GET' && method !== 'HEAD') {
      reply.code(405).header('allow', 'GET, HEAD').header('connection', 'close')
      return reply.send(errorBody('USAGE', `${method} is not allowed: this API only reads`))
    }
    if ((headers['content-length'] ?? '0') !== '0' || headers['transfer-encoding'] !== undefined) {
      reply.code(413).header('connection', 'close')
      return reply.send(errorBody('USAGE', 'a request must have no body'))
    }
    if ((url?.length ?? 0) > maxUrlLength) {
      return reply.code(414).send(errorBody('USAGE', `the URL is longer than ${maxUrlLength} characters`))
    }
    return undefined
  })
  app.setNotFoundHandler((request, reply) => {
    const path = request.url.split('?', 1)[0]?.slice(0, 200)
    reply.code(404).send(errorBody('NOT_FOUND', `there is no ${path}; see starling --help for what there is`))
  })
  app.setErrorHandler((error, request, reply) => {
    const status = error instanceof StarlingError ? statusOfCode[error.code] : undefined
    if (status !== undefined && error instanceof StarlingError) {
      return reply.code(status).send(errorBody(error.code, error.format()))
    }
    const given = error instanceof Error && 'statusCode' in error ? error.statusCode : undefined
    if (typeof given === 'number' && given >= 400 && given < 500) {
      return reply.code(given).send(errorBody('USAGE', 'the request cannot be read'))
    }
    log.error({ error, path: request.url.slice(0, 200) }, 'a request to the ops API failed')
    return reply.code(500).send(errorBody('INTERNAL', 'the request failed; the log of the node says why'))
  })

  app.post(`${adminPath}:action`, async (request) => {
    const { action } = request.params as { action: string }
    const act = Object.hasOwn(options.admin, action) ? options.admin[action] : undefined
    if (act === undefined) {
      const why = Object.keys(options.admin).every(isOfEveryNode)
        ? 'this node is no server'
        : 'there is no such action'
      throw new StarlingError('NOT_FOUND', `${action.slice(0, 100)}: ${why}`)
    }
    return act(request.body)
  })
  app.get('/api/v1/status', async () => view.status())
  app.get('/api/v1/peers', async () => view.peers())
  app.get('/api/v1/registries', async () => view.registries())
  app.get('/api/v1/images', async () => view.images())
  app.get('/api/v1/where/*', async (request) => {
    const query = (request.params as { '*': string })['*']
    if (query === '' || query.length > maxQueryLength) {
      throw new StarlingError('USAGE', 'name a digest or an image reference of at most 2048 characters')
    }
    return view.where(query)
  })
  app.get('/api/v1/drain-check/:node', async (request) =>
    view.drainCheck((request.params as { node: string }).node),
  )
  app.get('/api/v1/requests/:id', async (request) => view.request((request.params as { id: string }).id))
  app.get('/api/v1/metrics', async (_request, reply) => {
    reply.type('text/plain; version=0.0.4; charset=utf-8')
    return view.metrics()
  })
  app.get('/healthz', async () => ({ healthy: true }))
  app.get('/readyz', async (_request, reply) => {
    const ready = view.ready()
    return reply.code(ready.ready ? 200 : 503).send(ready)
  })
  return app
}
