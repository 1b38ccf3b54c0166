import type { Command } from 'commander'
import { StarlingError } from '../core/errors.ts'
import { type CliContext, defaultConfigFile, examples } from './context.ts'

interface Options {
  readonly config: string
  readonly server: string
  readonly file: string
}

function parseServer(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (url?.protocol === 'https:' && url.pathname === '/' && url.search === '' && url.username === '') {
    return url.origin
  }
  throw new StarlingError('USAGE', `--server ${JSON.stringify(text)} is no URL of a server`, {
    hint: 'for example --server https://node-1:9345',
  })
}

/** `starling kubeconfig` */
export function addKubeconfigCommand(program: Command, context: CliContext): void {
  program
    .command('kubeconfig')
    .description(
      'Write a kubeconfig with the client certificate of this node, so that kubectl reads the metrics of a server. The file holds a key: mode 0600',
    )
    .option('--config <file>', 'configuration of the node', defaultConfigFile)
    .requiredOption('--server <url>', 'the server, by a name or address of its certificate', parseServer)
    .option('--file <file>', 'file to write', 'starling.kubeconfig')
    .addHelpText(
      'after',
      examples(
        ['starling kubeconfig --server https://server-1:9345', 'writes starling.kubeconfig'],
        ['KUBECONFIG=starling.kubeconfig kubectl get --raw /metrics', 'the metrics of that server'],
      ),
    )
    .action(async ({ config, server, file }: Options) => {
      const { readConfig } = await import('../app/config/config-files.ts')
      const { loadCredentials } = await import('../app/trust/files.ts')
      const { renderKubeconfig } = await import('../app/trust/kubeconfig.ts')
      const { replaceFile } = await import('../app/replace-file.ts')
      const { trust, node } = await readConfig(config)
      const credentials = await loadCredentials(trust, node.name, Date.now())
      await replaceFile(file, renderKubeconfig(server, credentials))
      context.write(`${file}: kubectl with it reads ${server}/metrics\n`)
    })
}
