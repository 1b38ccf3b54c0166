/**
 * The public API, for platforms that embed Starling. What is not exported here may change with any version.
 *
 *     const node = await startNode(await readConfig('/etc/starling/config.yaml'), createLogger({ level: 'info' }))
 *     console.log(node.view.where('docker.io/library/alpine:3.20').verdict)
 *     await node.stop()
 */
export { readConfig } from './app/config/config-files.ts'
export { createLogger } from './app/logger.ts'
export { type RunningNode, startNode } from './app/node.ts'
export { version } from './app/version.ts'
export { type ParseConfigOptions, parseConfig } from './config/config-file.ts'
export type { RegistrySummary } from './core/cluster.ts'
export type { NodeConfig } from './core/config.ts'
export type { StoreStatus } from './core/content-store.ts'
export { describeError, type ErrorCode, errorCodes, StarlingError, StarlingErrors } from './core/errors.ts'
export type {
  ImageView,
  NodeView,
  PeerView,
  ReadyView,
  RequestView,
  StatusView,
  WhereView,
} from './core/ops-view.ts'
export type { Logger } from './core/ports.ts'
