import type { Command } from 'commander'
import { type CliContext, defaultConfigFile, examples, exitCodeOf } from './context.ts'

/** `starling agent` */
export function addAgentCommand(program: Command, context: CliContext): void {
  program
    .command('agent')
    .description('Run a node in the foreground; it logs JSON lines to standard error')
    .option('--config <file>', 'its configuration', defaultConfigFile)
    .addHelpText(
      'after',
      `${examples(
        ['starling agent', `with ${defaultConfigFile}`],
        ['starling agent --config node-1.yaml', 'with another file'],
      )}

Signals:
  SIGTERM, SIGINT  end gracefully: the others are told, transfers get up to shutdownGrace; a second one ends at once
  SIGHUP           configuration, registries and certificates are looked at now; else every two seconds`,
    )
    .action(async (options: { config: string }) => {
      const { readConfig } = await import('../app/config/config-files.ts')
      const config = await readConfig(options.config)
      const { createLogger } = await import('../app/logger.ts')
      const log = createLogger({ level: config.log.level })
      const { runUntilSignal } = await import('./run-until-signal.ts')
      const code = await runUntilSignal({
        log,
        graceMs: config.shutdownGraceMs,
        exitCodeOf,
        start: async () => {
          const { startNode } = await import('../app/node.ts')
          return startNode(config, log, { configFile: options.config })
        },
      })
      log.flush()
      context.setExitCode(code)
      // Whatever still holds the event loop open must not keep the service manager waiting.
      process.exit(code)
    })
}
