import { readFileSync } from 'node:fs'
import type { Command } from 'commander'
import { type CliContext, examples } from './context.ts'

/** Version of Starling, from its package.json. */
export function starlingVersion(): string {
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8')
  return String((JSON.parse(text) as { version?: unknown }).version ?? 'unknown')
}

/** `starling version` */
export function addVersionCommand(program: Command, context: CliContext): void {
  program
    .command('version')
    .description('Print the version of Starling and of Node.js')
    .addHelpText('after', examples(['starling version', 'for a bug report']))
    .action(() => {
      context.write(
        `starling ${starlingVersion()}, Node.js ${process.version} on ${process.platform} ${process.arch}\n`,
      )
    })
}
