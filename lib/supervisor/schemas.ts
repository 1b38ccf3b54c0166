type Schema = Readonly<Record<string, unknown>>

/** Every text from a stranger is bounded. */
const text = (maxLength: number, description: string): Schema => ({
  type: 'string',
  minLength: 1,
  maxLength,
  description,
})
const list = (items: Schema, maxItems: number, description: string): Schema => ({
  type: 'array',
  items,
  maxItems,
  description,
})
const object = (properties: Readonly<Record<string, Schema>>, optional: readonly string[] = []): Schema => ({
  type: 'object',
  additionalProperties: false,
  properties,
  required: Object.keys(properties).filter((key) => !optional.includes(key)),
})

const name = { ...text(64, 'Name of the node'), pattern: '^[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?$' }
const token = text(256, 'Id and key of a token, joined by a dot')
const password = { ...text(128, 'Made by the node; binds the name to it'), minLength: 32 }
const pem = text(16_384, 'PEM')
const urls = list(text(256, 'https://address:port'), 8, 'Where a server is reached')
const keyProof = {
  publicKey: text(64, 'Ed25519 identity, base64'),
  signature: text(128, 'Signature of the identity over name and requests, base64'),
  servingRequest: text(10_000, 'PKCS#10 of the serving key, PEM'),
  clientRequest: text(10_000, 'PKCS#10 of the client key, PEM'),
}
const reach = {
  addresses: list(text(64, 'IP address'), 16, 'Addresses of the node'),
  p2p: list(text(64, 'address:port'), 4, 'Where members reach the node'),
}
const view = object({
  embeddedRegistry: { type: 'boolean', description: 'Mirroring is on for the whole cluster' },
  serverCaPem: text(262_144, 'Bundle of the server CA'),
  clientCaPem: text(262_144, 'Bundle of the client CA'),
  keyring: list(text(1024, 'Pre-shared key, hex'), 16, 'The one to send with first'),
  servers: list(object({ name, urls }), 64, 'All servers'),
  revocations: list(
    object({
      name,
      peerId: text(100, 'PeerId'),
      revokedMs: { type: 'integer' },
      signature: text(1024, 'Of the server CA, base64'),
    }),
    10_000,
    'Nodes that are refused for good',
  ),
  signers: object({ server: text(64, 'Of the serving CA'), client: text(64, 'Of the client CA') }),
})
const change = {
  revision: text(64, 'Names the view'),
  view,
  peers: list(text(64, 'address:port'), 32, 'Some members'),
}
const acknowledgement = object({ revision: text(64, 'Revision'), heardMs: { type: 'integer' } })

/** Bodies of requests and answers by name, as OpenAPI components; requests are checked against them. */
export const supervisorSchemas = {
  JoinRequest: object({ name, token, password, ...keyProof, ...reach }),
  RenewRequest: object({ ...keyProof, ...reach }),
  JoinAnswer: object({ servingCertificate: pem, clientCertificate: pem, ...change }),
  WatchAnswer: object(change, ['view']),
  ServerJoinRequest: object({ name, token, password, urls }),
  SealedAnswer: object({
    salt: text(64, 'base64'),
    nonce: text(64, 'base64'),
    sealed: text(64 * 2 ** 20, 'AES-256-GCM, base64'),
  }),
  StateAnswer: object(
    {
      tag: text(128, 'For the next question'),
      state: { type: 'object', description: 'The state of the cluster' },
      acknowledged: { type: 'object', additionalProperties: acknowledgement },
    },
    ['state'],
  ),
  Ready: object({ ready: { type: 'boolean' }, reasons: list(text(1000, 'Reason'), 16, 'Why it is not') }),
  Healthy: object({ healthy: { type: 'boolean' } }),
  Failure: object({
    error: object(
      {
        code: text(64, 'One of docs/errors.md'),
        message: text(2000, 'One line'),
        reason: text(64, 'Why it was refused'),
      },
      ['reason'],
    ),
  }),
} as const satisfies Readonly<Record<string, Schema>>

/** Query parameters, all optional. */
export const querySchemas = {
  watch: {
    type: 'object',
    additionalProperties: false,
    properties: {
      seen: text(64, 'Revision that was heard of; the answer waits for another one'),
      applied: text(64, 'Revision that the node works with'),
    },
  },
  state: {
    type: 'object',
    additionalProperties: false,
    properties: { tag: text(128, 'Of the last answer; this one waits for a change') },
  },
} as const
