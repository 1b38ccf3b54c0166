import type { Endpoint } from './peer.ts'

export interface ContainerdStoreConfig {
  readonly type: 'containerd'
  readonly socket: string
  readonly namespaces: readonly string[]
  /** Folder of containerd's content store; undefined: found by asking containerd. */
  readonly contentPath: string | undefined
}

export interface OciLayoutStoreConfig {
  readonly type: 'oci-layout'
  readonly path: string
}

export interface TrustFiles {
  readonly serverCa: string
  readonly clientCa: string
  readonly servingCert: string
  readonly servingKey: string
  readonly clientCert: string
  readonly clientKey: string
  readonly psk: string
  readonly identity: string
  /** Signed list of nodes that were revoked; the file need not be there. */
  readonly revocations?: string
}

export type DisputedTags = 'auto' | 'refuse' | 'majority'

/** Bounds of what a node gives to peers, or takes from them. Rates are infinite where there is no bound. */
export interface FlowConfig {
  readonly bytesPerSecond: number
  readonly bytesPerSecondPerPeer: number
  /** Answers with a blob, or a part of one, at the same time. */
  readonly atOnce: number
  readonly atOncePerPeer: number
}

/** How blobs go from node to node. */
export interface TransferConfig {
  /** Through this node, or by sending containerd to the holder; `auto` decides for each request. */
  readonly mode: 'proxy' | 'redirect' | 'auto'
  /** `off`: the bytes of blobs are checked neither before they leave nor when they come. */
  readonly verify: 'full' | 'off'
  /** How long nothing is taken from a peer that sent wrong bytes, the first time. */
  readonly quarantineMs: number
  /** Blobs above this size come from several holders at once. */
  readonly stripeThresholdBytes: number
  /** From how many; 1: always from one. */
  readonly stripeWidth: number
  readonly upload: FlowConfig
  readonly download: FlowConfig
}

/** How a node becomes one of a cluster that has servers. */
export interface JoinConfig {
  /** Base URL of a server, `https://host:port`. */
  readonly server: string
  /** The token itself; the file that it is in must be readable for its owner alone. */
  readonly token: string | undefined
  /** File of the token, mode 0600. */
  readonly tokenFile: string | undefined
}

/** The server role: everything that is not used by `starling agent`. */
export interface SupervisorConfig {
  readonly listen: readonly Endpoint[]
  /** Where nodes reach it; empty: the addresses of `listen`, a wildcard being replaced by the machine's own. */
  readonly advertise: readonly Endpoint[]
  /** Names and addresses of a load balancer or the like, for its certificate. */
  readonly names: readonly string[]
  /** Life of the certificates that it issues. */
  readonly certificateLifetimeMs: number
  /** Mirroring for the whole cluster. */
  readonly embeddedRegistry: boolean
  /** `/metrics` on its port. */
  readonly metrics: boolean
}

/** The effective configuration: defaults filled in, durations in milliseconds, sizes in bytes, deep-frozen. */
export interface NodeConfig {
  readonly node: { readonly name: string; readonly zone: string }
  readonly dataDir: string
  /** Path of registries.yaml. */
  readonly registries: string
  readonly registry: {
    readonly listen: readonly Endpoint[]
    /** Threads that serve the registry API. */
    readonly workers: number
    /** A body that brings no byte for this long goes on at the next holder. */
    readonly stallTimeoutMs: number
    readonly maxConnections: number
  }
  readonly p2p: {
    readonly listen: readonly Endpoint[]
    /** Where others reach this node; empty: the addresses of `listen`, a wildcard being replaced by the machine's own. */
    readonly advertise: readonly Endpoint[]
    readonly udp: boolean
  }
  /** `host:port`, hosts may be names: all their A and AAAA records are asked. */
  readonly bootstrap: readonly { readonly host: string; readonly port: number }[]
  readonly store: ContainerdStoreConfig | OciLayoutStoreConfig
  /** How often the store is listed anew to find what no event told. */
  readonly auditIntervalMs: number
  readonly trust: TrustFiles
  readonly ops: { readonly socket: string; readonly listen: Endpoint | undefined }
  readonly log: { readonly level: 'debug' | 'info' | 'warn' | 'error' }
  /** Folder of archives that are imported, and what is kept of images of several platforms: `all` or `linux/amd64`. */
  readonly images: { readonly dir: string; readonly platform: string }
  readonly shutdownGraceMs: number
  /** Folder of containerd's `hosts.toml` files, for `starling configure`. */
  readonly certsDir: string
  /** References (`registry/repository:tag`) that match one of these regular expressions are neither announced nor answered. */
  readonly excludeReferences: readonly string[]
  /** Absent: the defaults. */
  readonly transfer?: TransferConfig
  /** Also the metrics that dashboards made for Spegel read; absent: yes. */
  readonly metrics?: { readonly spegelNames: boolean }
  /** `latest` is announced and answered too. */
  readonly shareLatest?: boolean
  /** Containerd never asks a registry that has mirrors itself. */
  readonly disableDefaultRegistryEndpoint?: boolean
  /** The running node keeps `certsDir` in step. */
  readonly manageHosts?: boolean
  /** At a clean stop the entry of this node goes from `certsDir`. */
  readonly removeHostsAtStop?: boolean
  /** Are tags answered: by registry, `*` for the others; absent: yes. */
  readonly resolveTags?: Readonly<Record<string, boolean>>
  /** May blobs be given on while they are still downloaded: by registry, `*` for the others; absent: yes. */
  readonly flights?: Readonly<Record<string, boolean>>
  /** A node from which a blob in flight should come, and of which nothing is heard for this long, is given up. */
  readonly flightPatienceMs?: number
  /** A tag on which nodes disagree: `auto` answers by majority where containerd has no other place to ask. */
  readonly disputedTags?: DisputedTags
  /** Present where the node joins a cluster with servers; then `trust` is made by them, in `dataDir`. */
  readonly join?: JoinConfig
  readonly supervisor?: SupervisorConfig
}
