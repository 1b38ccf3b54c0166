import type { Server } from 'node:https'
import type { TLSSocket } from 'node:tls'
import { type FastifyInstance, type FastifyReply, type FastifyRequest, fastify } from 'fastify'
import { describeError, StarlingError } from '../core/errors.ts'
import type { Logger, Metrics } from '../core/ports.ts'
import { type JoinRefusal, JoinRefusedError } from '../trust/join-refusal.ts'
import type {
  JoinRequest,
  RenewRequest,
  ServerJoinRequest,
  SupervisorApi,
  SupervisorCaller,
  WatchQuery,
} from './api.ts'
import { addressOf, callerOf } from './caller.ts'
import { type RouteSpec, supervisorOpenApi, supervisorRoutes } from './openapi.ts'
import { querySchemas, supervisorSchemas } from './schemas.ts'

const maxUrlLength = 2048
const maxBodySizeBytes = 65_536

const statusOfReason: Partial<Record<JoinRefusal, number>> = {
  malformed: 400,
  'request-malformed': 400,
  rate: 429,
  busy: 503,
}

export interface RoutesOptions {
  readonly api: SupervisorApi
  readonly log: Logger
  readonly metrics: Metrics
  readonly createServer: (handler: (...args: never[]) => void) => Server
}

type RouteId = keyof typeof supervisorRoutes
type Handler = (request: FastifyRequest, reply: FastifyReply) => Promise<unknown>

const failure = (code: string, message: string, reason?: string): object => ({
  error: { code, message: message.slice(0, 2000), ...(reason === undefined ? {} : { reason }) },
})

/** The routes of 9345, by the table in openapi.ts. Who is not of the cluster learns nothing but the CA certificates. */
export function createSupervisorRoutes(options: RoutesOptions): FastifyInstance {
  const { api, log, metrics } = options
  const routeOf = (request: FastifyRequest): (RouteSpec & { id: RouteId }) | undefined => {
    const { method, url } = request.routeOptions
    const found = Object.entries(supervisorRoutes).find(
      ([, route]) => route.path === url && [method].flat().includes(route.method),
    )
    return found === undefined ? undefined : { ...found[1], id: found[0] as RouteId }
  }
  const callers = new WeakMap<FastifyRequest, SupervisorCaller>()

  const app = fastify({
    logger: false,
    bodyLimit: maxBodySizeBytes,
    exposeHeadRoutes: false,
    ajv: { customOptions: { removeAdditional: false, coerceTypes: false, useDefaults: false } },
    serverFactory: (handler) => options.createServer(handler as (...args: never[]) => void),
    frameworkErrors: (_error, _request, reply: FastifyReply) => {
      reply.code(401).header('connection', 'close').send(failure('JOIN_REFUSED', 'the URL is malformed'))
    },
  })

  app.addHook('onRequest', async (request, reply) => {
    const route = routeOf(request)
    if ((request.raw.url?.length ?? 0) > maxUrlLength) {
      return reply.code(414).header('connection', 'close').send(failure('USAGE', 'the URL is too long'))
    }
    if (route?.access === 'everybody') return undefined
    const caller = callerOf(request.raw.socket as TLSSocket)
    const allowed = caller !== undefined && (route?.access !== 'servers' || caller.server)
    if (caller !== undefined) api.admit(caller)
    if (caller !== undefined && allowed) {
      callers.set(request, caller)
      return undefined
    }
    metrics.count('starling_supervisor_refused_total', { reason: 'certificate' })
    const needed = route?.access === 'servers' ? 'of a server' : 'of the cluster'
    const status = caller === undefined ? 401 : 403
    return reply
      .code(status)
      .header('connection', 'close')
      .send(failure('JOIN_REFUSED', `a client certificate ${needed} is needed`, 'certificate'))
  })
  app.addHook('onResponse', async (request, reply) => {
    const labels = { route: routeOf(request)?.id ?? 'other', status: String(reply.statusCode) }
    metrics.count('starling_supervisor_requests_total', labels)
  })
  app.setNotFoundHandler((_request, reply) => {
    reply.code(404).send(failure('NOT_FOUND', 'there is nothing under this path'))
  })
  app.setErrorHandler((error, request, reply) => {
    if (error instanceof JoinRefusedError) {
      metrics.count('starling_supervisor_refused_total', { reason: error.reason })
      reply.code(statusOfReason[error.reason] ?? 403)
      if (error.reason === 'rate' || error.reason === 'busy') reply.header('retry-after', '10')
      return reply.send(failure(error.code, error.format(), error.reason))
    }
    const status = statusOf(error)
    if (status < 500) {
      metrics.count('starling_supervisor_refused_total', { reason: 'malformed' })
      return reply
        .code(status)
        .header('connection', 'close')
        .send(failure('JOIN_REFUSED', describeError(error), 'malformed'))
    }
    log.error({ error, route: routeOf(request)?.id }, 'a request to the supervisor failed')
    const known = error instanceof StarlingError ? error.code : 'INTERNAL'
    return reply.code(503).send(failure(known, 'the server cannot do this now; its log says why'))
  })

  const caller = (request: FastifyRequest): SupervisorCaller => {
    const found = callers.get(request)
    if (found === undefined) throw new StarlingError('INTERNAL', 'a request without a caller')
    return found
  }
  const handlers: Readonly<Record<RouteId, Handler>> = {
    cacerts: async (_request, reply) => {
      reply.type('application/x-pem-file')
      return api.caBundle()
    },
    join: (request) => api.join(request.body as JoinRequest, addressOf(request.raw.socket)),
    joinServer: (request) => api.joinServer(request.body as ServerJoinRequest, addressOf(request.raw.socket)),
    renew: (request) => api.renew(request.body as RenewRequest, caller(request)),
    watch: (request, reply) => api.watch(request.query as WatchQuery, caller(request), endOf(reply)),
    state: (request, reply) =>
      api.state((request.query as { tag?: string }).tag, caller(request), endOf(reply)),
    metrics: async (request, reply) => {
      const text = await api.metrics(caller(request))
      if (text === undefined) {
        return reply.code(404).send(failure('NOT_FOUND', 'supervisor-metrics is off on this server'))
      }
      reply.type('text/plain; version=0.0.4; charset=utf-8')
      return text
    },
    healthz: async () => ({ healthy: true }),
    readyz: async (_request, reply) => {
      const ready = api.ready()
      reply.code(ready.ready ? 200 : 503)
      return ready
    },
    openapi: async () => supervisorOpenApi(),
  }
  for (const [id, route] of Object.entries(supervisorRoutes) as [RouteId, RouteSpec][]) {
    const schema = {
      ...(route.body === undefined ? {} : { body: supervisorSchemas[route.body] }),
      ...(route.query === undefined ? {} : { querystring: querySchemas[route.query] }),
    }
    app.route({ method: route.method, url: route.path, schema, handler: handlers[id] })
  }
  return app
}

/** Aborts when the connection ends before the answer. */
function endOf(reply: FastifyReply): AbortSignal {
  const controller = new AbortController()
  reply.raw.once('close', () => controller.abort())
  return controller.signal
}

function statusOf(error: unknown): number {
  const status = error instanceof Error && 'statusCode' in error ? error.statusCode : undefined
  return typeof status === 'number' ? status : 500
}
