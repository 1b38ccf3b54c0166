import { type CliContext, exitCodeOf } from './context.ts'

/** Runs a node of either role in the foreground until a signal ends it, and ends the process. */
export async function runNode(
  context: CliContext,
  role: 'agent' | 'server',
  configFile: string,
): Promise<void> {
  const { readConfig } = await import('../app/config/config-files.ts')
  const config = await readConfig(configFile, role)
  const { createLogger } = await import('../app/logger.ts')
  const log = createLogger({ level: config.log.level })
  const { runUntilSignal } = await import('./run-until-signal.ts')
  const code = await runUntilSignal({
    log,
    graceMs: config.shutdownGraceMs,
    exitCodeOf,
    start: async (signal) => {
      const { startNode } = await import('../app/node.ts')
      return startNode(config, log, { configFile, role, signal })
    },
  })
  log.flush()
  context.setExitCode(code)
  // Whatever still holds the event loop open must not keep the service manager waiting.
  process.exit(code)
}

export const signalsHelp = `
Signals:
  SIGTERM, SIGINT  end gracefully: the others are told, transfers get up to shutdownGrace; a second one ends at once
  SIGHUP           configuration, registries and certificates are looked at now; else every two seconds`
