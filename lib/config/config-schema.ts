import type { DisputedTags, TrustFiles } from '../core/config.ts'
import { configDefaults as defaults } from './config-defaults.ts'
import { duration, flag, integer, list, oneOrMore, path, type Schema, section, text } from './schema-parts.ts'
import { type TransferDocument, transferSection } from './transfer-section.ts'

/** The file as it is once it has passed the schema. */
export interface ConfigDocument {
  readonly node?: { readonly name?: string; readonly zone?: string }
  readonly dataDir?: string
  readonly registries?: string
  readonly registry?: {
    readonly listen?: string | readonly string[]
    readonly workers?: number
    readonly stallTimeout?: string
    readonly maxConnections?: number
  }
  readonly transfer?: TransferDocument
  readonly p2p?: {
    readonly listen?: string | readonly string[]
    readonly advertise?: string | readonly string[]
    readonly udp?: boolean
  }
  readonly bootstrap?: readonly string[]
  readonly store?:
    | {
        readonly type: 'containerd'
        readonly socket?: string
        readonly namespaces?: readonly string[]
        readonly contentPath?: string
      }
    | { readonly type: 'oci-layout'; readonly path: string }
  readonly auditInterval?: string
  readonly trust?: 'files' | ({ readonly dir?: string } & Partial<TrustFiles>)
  readonly server?: string
  readonly token?: string
  readonly tokenFile?: string
  readonly supervisor?: {
    readonly listen?: string | readonly string[]
    readonly advertise?: string | readonly string[]
    readonly names?: readonly string[]
    readonly certificateLifetime?: string
  }
  readonly 'embedded-registry'?: boolean
  readonly 'supervisor-metrics'?: boolean
  readonly ops?: { readonly socket?: string; readonly listen?: string }
  readonly log?: { readonly level?: 'debug' | 'info' | 'warn' | 'error' }
  readonly metrics?: { readonly spegelNames?: boolean }
  readonly images?: { readonly dir?: string; readonly platform?: string }
  readonly shutdownGrace?: string
  readonly certsDir?: string
  readonly excludeReferences?: readonly string[]
  readonly shareLatest?: boolean
  readonly 'disable-default-registry-endpoint'?: boolean
  readonly 'disable-default-endpoint'?: boolean
  readonly manageHosts?: boolean
  readonly removeHostsAtStop?: boolean
  readonly resolveTags?: boolean | Readonly<Record<string, boolean>>
  readonly flights?: boolean | Readonly<Record<string, boolean>>
  readonly flightPatience?: string
  readonly disputedTags?: DisputedTags
}

/** A section, or the word `files`: for nodes that bring their own PKI and leave all else as it is. */
function trustSection(description: string, properties: Readonly<Record<string, Schema>>): Schema {
  return {
    ...section(description, properties),
    type: ['object', 'string'],
    pattern: '^files$',
    examples: ['files'],
  }
}

const trustFile = (key: keyof TrustFiles, what: string) =>
  path(
    `${what}; default: ${defaults.trustFiles[key]} in trust.dir`,
    `${defaults.trustDir}/${defaults.trustFiles[key]}`,
  )

const containerdStore = section('The images of containerd', {
  type: { const: 'containerd' },
  socket: path('Socket of containerd', defaults.containerd.socket, { default: defaults.containerd.socket }),
  namespaces: list(
    text('starling-namespace', 'A namespace of containerd', 'k8s.io'),
    'Namespaces whose images are shared',
    { default: defaults.containerd.namespaces, minItems: 1, examples: ['[k8s.io]'] },
  ),
  contentPath: path(
    "Folder of containerd's content store; default: containerd is asked",
    '/var/lib/containerd/io.containerd.content.v1.content',
  ),
})

const ociLayoutStore = section('The images of an OCI image-layout folder', {
  type: { const: 'oci-layout' },
  path: path('The folder', '/var/lib/starling/images'),
})

/**
 * The structure of config.yaml, JSON Schema 2020-12: the one place that says which keys there are. Formats named `starling-…`
 * are those of formats.ts; `minDuration` and `maxDuration` bound a duration, both included.
 */
export const configJsonSchema: Schema = {
  $schema: 'https://json-schema.org/draft/2020-12/schema',
  title: 'Configuration of a Starling node',
  ...section('Everything has a default; relative paths are relative to the folder of this file.', {
    node: section('This machine', {
      name: text('starling-node-name', 'One of a kind in the cluster; default: the host name', 'node-1'),
      zone: text('starling-zone', 'Peers of the same zone are preferred', 'rack-7', {
        default: defaults.zone,
      }),
    }),
    dataDir: path('Folder of what the node remembers', defaults.dataDir, { default: defaults.dataDir }),
    registries: path('Path of registries.yaml', defaults.registries, { default: defaults.registries }),
    registry: section('The registry API that containerd and peers pull from', {
      listen: oneOrMore('starling-endpoint', 'Where it listens', '0.0.0.0:6443', {
        default: defaults.registry.listen,
      }),
      workers: integer('Threads that serve it', defaults.registry.workers, 1, 64),
      stallTimeout: duration(
        'A body that brings no byte for this long goes on at the next holder',
        defaults.registry.stallTimeout,
        '100ms',
        '5m',
      ),
      maxConnections: integer('Most connections at once', defaults.registry.maxConnections, 1, 65_535),
    }),
    transfer: transferSection,
    p2p: section('How the nodes talk to one another', {
      listen: oneOrMore('starling-endpoint', 'Where it listens, TCP and UDP', '0.0.0.0:5001', {
        default: defaults.p2p.listen,
      }),
      advertise: oneOrMore(
        'starling-advertise',
        'Where others reach this node; default: the addresses it listens on',
        '192.0.2.7:5001',
        { minItems: 0 },
      ),
      udp: {
        type: 'boolean',
        description: 'Datagrams for probes; without them everything runs over TCP',
        default: defaults.p2p.udp,
        examples: [true],
      },
    }),
    bootstrap: list(
      text('starling-host-port', 'A node; the port is 5001 unless given', 'node-1.example.com:5001'),
      'Nodes to join through; all addresses of a DNS name are asked',
      { default: [], examples: ['[node-1.example.com:5001]'] },
    ),
    store: {
      type: 'object',
      description: 'Where the images of this machine are',
      default: { type: 'containerd' },
      discriminator: { propertyName: 'type' },
      oneOf: [
        { ...containerdStore, required: ['type'] },
        { ...ociLayoutStore, required: ['type', 'path'] },
      ],
    },
    auditInterval: duration(
      'How often the store is listed anew to find what no event told',
      defaults.auditInterval,
      '1s',
      '24h',
    ),
    server: text(
      'starling-server-url',
      'A server of the cluster that this node joins; its certificates come from there',
      'https://server-1.example.com:9345',
    ),
    token: text(
      'starling-token',
      'What starling token create printed; only in a file of mode 0600',
      `K10${'0'.repeat(64)}::node:abcdef.${'0'.repeat(32)}`,
      // Its value is never shown.
      { writeOnly: true },
    ),
    tokenFile: path('File of the token, mode 0600', '/etc/starling/token'),
    supervisor: section('The port of starling server, which agents and other servers ask', {
      listen: oneOrMore('starling-endpoint', 'Where it listens', '0.0.0.0:9345', {
        default: defaults.supervisor.listen,
      }),
      advertise: oneOrMore(
        'starling-advertise',
        'Where nodes reach it; default: the addresses it listens on',
        '192.0.2.7:9345',
        { minItems: 0 },
      ),
      names: list(
        text('starling-host', 'A host name or IP address', 'starling.example.com'),
        'More names for its certificate, such as that of a load balancer',
        { default: [], maxItems: 16, examples: ['[starling.example.com]'] },
      ),
      certificateLifetime: duration(
        'Life of the certificates that it issues; they are renewed at two thirds of it',
        defaults.supervisor.certificateLifetime,
        '1m',
        '3650d',
      ),
    }),
    'embedded-registry': flag(
      'Of starling server: mirroring is on for the whole cluster',
      defaults.embeddedRegistry,
    ),
    'supervisor-metrics': flag('Of starling server: metrics on its port', defaults.supervisorMetrics),
    trust: trustSection('Certificates and keys; starling trust init makes them', {
      dir: path('Folder of the files below', defaults.trustDir, { default: defaults.trustDir }),
      serverCa: trustFile('serverCa', 'Certificates of the server CA'),
      clientCa: trustFile('clientCa', 'Certificates of the client CA'),
      servingCert: trustFile('servingCert', 'Serving certificate of this node'),
      servingKey: trustFile('servingKey', 'Its key'),
      clientCert: trustFile('clientCert', 'Client certificate of this node'),
      clientKey: trustFile('clientKey', 'Its key'),
      psk: trustFile('psk', 'Pre-shared key of the cluster'),
      identity: trustFile('identity', 'Ed25519 identity of this node'),
      revocations: trustFile('revocations', 'Signed list of nodes that were revoked; it need not be there'),
    }),
    ops: section('The API behind starling status, peers, images and where', {
      socket: path('Its Unix socket', defaults.opsSocket, { default: defaults.opsSocket }),
      listen: text(
        'starling-endpoint',
        'Also over TCP, for clients with a certificate of the client CA; default: not',
        '127.0.0.1:9346',
      ),
    }),
    log: section('Logs go to standard error, JSON in each line', {
      level: {
        type: 'string',
        enum: ['debug', 'info', 'warn', 'error'],
        description: 'What is logged',
        default: defaults.logLevel,
        examples: ['info'],
      },
    }),
    metrics: section('What GET /metrics shows', {
      spegelNames: flag('Also the names that dashboards made for Spegel read', defaults.metrics.spegelNames),
    }),
    images: section('Archives of images that are put into the store, pinned', {
      dir: path('Folder of the archives; default: images in dataDir', '/var/lib/starling/images'),
      platform: {
        type: 'string',
        pattern: '^(?:all|[a-z0-9]+/[a-z0-9_]+(?:/[a-z0-9]+)?)$',
        description: 'What is kept of images of several platforms',
        default: defaults.images.platform,
        examples: ['linux/amd64'],
      },
    }),
    shutdownGrace: duration('What transfers in flight get at the end', defaults.shutdownGrace, '0s', '1h'),
    certsDir: path("Folder of containerd's hosts.toml files, for starling configure", defaults.certsDir, {
      default: defaults.certsDir,
    }),
    excludeReferences: list(
      text('starling-reference-pattern', 'A regular expression over registry/repository:tag', ':latest$'),
      'References that are neither announced nor answered. Groups must not be repeated, and there is no look-around.',
      { default: defaults.excludeReferences, maxItems: 32, examples: ['[":nightly$"]'] },
    ),
    shareLatest: flag('The tag latest is announced and answered too', defaults.shareLatest),
    'disable-default-registry-endpoint': flag(
      'Containerd never asks a registry that has mirrors itself',
      defaults.disableDefaultRegistryEndpoint,
    ),
    'disable-default-endpoint': {
      type: 'boolean',
      description: 'The same as disable-default-registry-endpoint',
      examples: [true],
    },
    manageHosts: flag('The running node keeps certsDir in step', defaults.manageHosts),
    removeHostsAtStop: flag(
      'With manageHosts: the entry of this node goes from certsDir at a clean stop',
      defaults.removeHostsAtStop,
    ),
    resolveTags: {
      type: ['boolean', 'object'],
      description: 'Are tags answered from peers; also by registry, "*" for the others',
      additionalProperties: { type: 'boolean', description: 'For this registry', examples: [false] },
      default: defaults.resolveTags,
      examples: ['{docker.io: false}'],
    },
    flights: {
      type: ['boolean', 'object'],
      description:
        'Are blobs given on while they are still downloaded, so that a new image comes from upstream about once; also by registry, "*" for the others',
      additionalProperties: { type: 'boolean', description: 'For this registry', examples: [false] },
      default: defaults.flights,
      examples: ['{docker.io: false}'],
    },
    flightPatience: duration(
      'A node from which a blob in flight should come, and of which nothing is heard for this long, is given up',
      defaults.flightPatience,
      '500ms',
      '20s',
    ),
    disputedTags: {
      type: 'string',
      enum: ['auto', 'refuse', 'majority'],
      description:
        'A tag on which nodes disagree: by majority where containerd has no other place to ask (auto), never, or always by majority',
      default: defaults.disputedTags,
      examples: ['refuse'],
    },
  }),
}
