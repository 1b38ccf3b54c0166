import type { Command } from 'commander'
import { version } from '../app/version.ts'
import { type CliContext, examples } from './context.ts'

/** `starling version` */
export function addVersionCommand(program: Command, context: CliContext): void {
  program
    .command('version')
    .description('Print the version of Starling and of Node.js')
    .addHelpText('after', examples(['starling version', 'for a bug report']))
    .action(() => {
      context.write(
        `starling ${version}, Node.js ${process.version} on ${process.platform} ${process.arch}\n`,
      )
    })
}
