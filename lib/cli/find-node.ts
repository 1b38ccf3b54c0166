import { access } from 'node:fs/promises'
import type { Command } from 'commander'
import { createOpsClient, type OpsClient } from '../ops/client.ts'
import { defaultConfigFile } from './context.ts'

export interface NodeOptions {
  readonly socket?: string
  readonly config?: string
}

const defaultSocket = '/run/starling/ops.sock'

/** Adds the options that say which node is asked. */
export function addNodeOptions(command: Command): Command {
  return command
    .option(
      '--socket <path>',
      `ops socket of the node (default: that of the configuration, ${defaultSocket})`,
    )
    .option(
      '--config <file>',
      `configuration of the node, to find its socket (default: ${defaultConfigFile})`,
    )
}

/** @throws StarlingError, StarlingErrors CONFIG_INVALID */
export async function findNode(options: NodeOptions): Promise<OpsClient> {
  if (options.socket !== undefined) return createOpsClient(options.socket)
  const readable = await access(defaultConfigFile).then(
    () => true,
    () => false,
  )
  const file = options.config ?? (readable ? defaultConfigFile : undefined)
  if (file === undefined) return createOpsClient(defaultSocket)
  const { readConfig } = await import('../app/config/config-files.ts')
  return createOpsClient((await readConfig(file)).ops.socket)
}
