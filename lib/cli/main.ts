import { Command, CommanderError } from 'commander'
import { version } from '../app/version.ts'
import { describeError, StarlingError } from '../core/errors.ts'
import { addAgentCommand } from './agent.ts'
import { addCheckCommand } from './check.ts'
import { addCleanupCommand } from './cleanup.ts'
import { addConfigCommands } from './config.ts'
import { addConfigureCommand } from './configure.ts'
import { type CliContext, examples, exitCodeOf, exitCodes } from './context.ts'
import { addDrainCheckCommand } from './drain-check.ts'
import { addImagesCommand } from './images.ts'
import { addImportCommand } from './import.ts'
import { addKubeconfigCommand } from './kubeconfig.ts'
import { addNodeCommands } from './node.ts'
import { addPeersCommand } from './peers.ts'
import { addPullCommand } from './pull.ts'
import { addServerCommand } from './server.ts'
import { addStatusCommand } from './status.ts'
import { addTokenCommands } from './token.ts'
import { addTrustCommands } from './trust.ts'
import { addVersionCommand } from './version.ts'
import { addWhereCommand } from './where.ts'

/** Commander says some things in two lines and begins with "error:"; we say them in one. */
function oneLine(text: string): string {
  return text
    .trim()
    .replace(/^error: /, '')
    .replaceAll(/\s*\n\s*/g, ' ')
    .replace(/\.$/, '')
}

/** The command line, ready to parse. */
export function createProgram(context: CliContext): Command {
  const program = new Command('starling')
    .description(
      'A registry mirror on every containerd node: images are found by gossip and served by neighbours',
    )
    .version(version, '--version', 'print the version')
    .helpCommand(false)
    .showSuggestionAfterError(true)
    .exitOverride()
    .configureOutput({
      writeOut: (text) => context.write(text),
      writeErr: (text) => context.note(text.trimEnd()),
      outputError: (text) => context.note(`starling: ${oneLine(text)}; see starling --help`),
    })
    .addHelpText(
      'after',
      `${examples(
        ['starling trust init --dir trust --node node-1=192.0.2.1', 'make certificates and keys'],
        ['starling agent --config node-1.yaml', 'run a node'],
        ['starling peers', 'who is there?'],
        ['starling where docker.io/library/alpine:3.20', 'who has it?'],
      )}\n\nExit codes: 0 done, 1 failed, 2 wrong usage or configuration, 3 no node answers.`,
    )
  addAgentCommand(program, context)
  addServerCommand(program, context)
  addTokenCommands(program, context)
  addNodeCommands(program, context)
  addStatusCommand(program, context)
  addPeersCommand(program, context)
  addImagesCommand(program, context)
  addWhereCommand(program, context)
  addDrainCheckCommand(program, context)
  addPullCommand(program, context)
  addImportCommand(program, context)
  addConfigCommands(program, context)
  addConfigureCommand(program, context)
  addCleanupCommand(program, context)
  addCheckCommand(program, context)
  addTrustCommands(program, context)
  addKubeconfigCommand(program, context)
  addVersionCommand(program, context)
  return program
}

/** Runs one command line, without the two leading words of `process.argv`. Never throws; sets the exit code. */
export async function main(argv: readonly string[], context: CliContext): Promise<void> {
  try {
    const program = createProgram(context)
    if (argv.length === 0) program.outputHelp()
    else await program.parseAsync([...argv], { from: 'user' })
  } catch (error) {
    if (error instanceof CommanderError) {
      context.setExitCode(error.exitCode === 0 ? exitCodes.ok : exitCodes.usage)
      return
    }
    const lines = describeError(error).split('\n')
    for (const line of lines) {
      const hasPlace = error instanceof StarlingError && error.position !== undefined
      context.note(hasPlace ? line : `starling: ${line}`)
    }
    context.setExitCode(exitCodeOf(error))
  }
}
