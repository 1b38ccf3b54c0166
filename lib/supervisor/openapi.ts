import { querySchemas, supervisorSchemas } from './schemas.ts'

type SchemaName = keyof typeof supervisorSchemas

/** Who may ask. */
export type RouteAccess = 'everybody' | 'members' | 'servers'

/** One path of the endpoint: the routes are made from this table, and so is the OpenAPI document. */
export interface RouteSpec {
  readonly method: 'GET' | 'POST'
  readonly path: string
  readonly access: RouteAccess
  readonly summary: string
  readonly body?: SchemaName
  readonly query?: keyof typeof querySchemas
  readonly answer: SchemaName | 'pem' | 'prometheus' | 'openapi'
}

export const supervisorRoutes = {
  cacerts: {
    method: 'GET',
    path: '/cacerts',
    access: 'everybody',
    summary: 'The CA certificates of this endpoint; a token says which root to believe',
    answer: 'pem',
  },
  join: {
    method: 'POST',
    path: '/v1/join',
    access: 'everybody',
    summary: 'A node joins with a token and gets its certificates',
    body: 'JoinRequest',
    answer: 'JoinAnswer',
  },
  joinServer: {
    method: 'POST',
    path: '/v1/servers/join',
    access: 'everybody',
    summary: 'A further server joins with a server token and gets the state, sealed for it',
    body: 'ServerJoinRequest',
    answer: 'SealedAnswer',
  },
  renew: {
    method: 'POST',
    path: '/v1/renew',
    access: 'members',
    summary: 'A node has its certificates renewed',
    body: 'RenewRequest',
    answer: 'JoinAnswer',
  },
  watch: {
    method: 'GET',
    path: '/v1/watch',
    access: 'members',
    summary: 'Settings, bundles, keyring, servers and revocations; waits for a change',
    query: 'watch',
    answer: 'WatchAnswer',
  },
  state: {
    method: 'GET',
    path: '/v1/servers/state',
    access: 'servers',
    summary: 'The whole state, for the other servers; waits for a change',
    query: 'state',
    answer: 'StateAnswer',
  },
  metrics: {
    method: 'GET',
    path: '/metrics',
    access: 'members',
    summary: 'Metrics, with supervisor-metrics: true',
    answer: 'prometheus',
  },
  healthz: {
    method: 'GET',
    path: '/healthz',
    access: 'members',
    summary: 'It answers',
    answer: 'Healthy',
  },
  readyz: {
    method: 'GET',
    path: '/readyz',
    access: 'members',
    summary: 'It can do its work; 503 where not',
    answer: 'Ready',
  },
  openapi: {
    method: 'GET',
    path: '/v1/openapi.json',
    access: 'members',
    summary: 'This document',
    answer: 'openapi',
  },
} as const satisfies Readonly<Record<string, RouteSpec>>

const security: Readonly<Record<RouteAccess, readonly object[]>> = {
  everybody: [],
  members: [{ clientCertificate: [] }],
  servers: [{ serverCertificate: [] }],
}

const contentOf = (answer: RouteSpec['answer']): object => {
  if (answer === 'pem') return { 'application/x-pem-file': { schema: { type: 'string' } } }
  if (answer === 'prometheus') return { 'text/plain': { schema: { type: 'string' } } }
  const schema = answer === 'openapi' ? { type: 'object' } : ref(answer)
  return { 'application/json': { schema } }
}

function ref(name: SchemaName): object {
  return { $ref: `#/components/schemas/${name}` }
}

function operationOf(id: string, route: RouteSpec): object {
  const query = route.query === undefined ? undefined : querySchemas[route.query].properties
  return {
    operationId: id,
    summary: route.summary,
    security: security[route.access],
    ...(query === undefined
      ? {}
      : {
          parameters: Object.entries(query).map(([name, schema]) => ({ name, in: 'query', schema })),
        }),
    ...(route.body === undefined
      ? {}
      : { requestBody: { required: true, content: { 'application/json': { schema: ref(route.body) } } } }),
    responses: {
      200: { description: route.summary, content: contentOf(route.answer) },
      default: {
        description: 'Refused, or not possible',
        content: { 'application/json': { schema: ref('Failure') } },
      },
    },
  }
}

/** The endpoint on 9345 as an OpenAPI 3.1 document. */
export function supervisorOpenApi(): Readonly<Record<string, unknown>> {
  const paths = Object.entries(supervisorRoutes).map(([id, route]: [string, RouteSpec]) => [
    route.path,
    { [route.method.toLowerCase()]: operationOf(id, route) },
  ])
  return {
    openapi: '3.1.0',
    info: {
      title: 'Starling supervisor',
      version: '1',
      description: 'What the servers of a cluster answer on TCP 9345, over TLS 1.2 or later.',
    },
    paths: Object.fromEntries(paths),
    components: {
      securitySchemes: {
        clientCertificate: { type: 'mutualTLS', description: 'A certificate of the client CA' },
        serverCertificate: { type: 'mutualTLS', description: 'One of a server (URI starling-role:server)' },
      },
      schemas: supervisorSchemas,
    },
  }
}
