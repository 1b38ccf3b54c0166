import type { Command } from 'commander'
import type { PulledPiece, PullReport } from '../app/pull/diagnose.ts'
import { StarlingError } from '../core/errors.ts'
import { formatReference, parseReference } from '../core/reference.ts'
import { formatSize } from '../core/units.ts'
import { createOpsClient } from '../ops/client.ts'
import { type CliContext, defaultConfigFile, examples, exitCodes } from './context.ts'
import { formatTable, type OutputFormat, outputOption, print, printable, shortDigest } from './output.ts'

interface Options {
  readonly config: string
  readonly platform?: string
  readonly output: OutputFormat
}

/** `starling pull` */
export function addPullCommand(program: Command, context: CliContext): void {
  program
    .command('pull')
    .description(
      'Pull an image through the mirror of this machine as containerd would, and show which node served what. Nothing is stored',
    )
    .argument('<reference>', 'an image: registry/repository:tag or @sha256:…')
    .option('--config <file>', 'configuration of the node', defaultConfigFile)
    .option('--platform <os/arch>', 'of an index take this one (default: that of this machine)')
    .addOption(outputOption())
    .addHelpText(
      'after',
      `${examples(
        ['starling pull docker.io/library/alpine:3.20', 'who serves each layer, and how fast'],
        ['starling pull --output json REFERENCE', 'the same for scripts'],
      )}\n\nExit code 1 if a part is not available; what containerd would do then is said.`,
    )
    .action((text: string, options: Options) => pull(text, options, context))
}

async function pull(text: string, options: Options, context: CliContext): Promise<void> {
  const { diagnosePull } = await import('../app/pull/diagnose.ts')
  const { hostPlatform, parsePlatform } = await import('../app/import/platform.ts')
  const { readConfig } = await import('../app/config/config-files.ts')
  const { mirrorAccess } = await import('../app/config/configure.ts')
  const reference = parseReference(text)
  const platform = options.platform === undefined ? hostPlatform() : parsePlatform(options.platform)
  if (platform === undefined || platform === 'all') {
    throw new StarlingError('USAGE', `${JSON.stringify(options.platform)} is no platform`, {
      hint: 'for example --platform linux/amd64',
    })
  }
  const config = await readConfig(options.config)
  const ops = createOpsClient(config.ops.socket)
  let silent = false
  const report = await diagnosePull({
    mirror: mirrorAccess(config),
    certsDir: config.certsDir,
    reference,
    platform,
    async requestView(id) {
      if (silent) return undefined
      try {
        return await ops.request(id)
      } catch (error) {
        if (!(error instanceof StarlingError) || error.code !== 'OPS_UNAVAILABLE') throw error
        context.note(`who serves is not known: ${error.format()}`)
        silent = true
        return undefined
      }
    },
  })
  if (!report.asksMirror) {
    context.note(
      `containerd does not ask this mirror for ${reference.registry}: no hosts.toml in ${config.certsDir} says so; run starling configure`,
    )
  }
  if (options.output !== 'table' || report.pieces.length > 0) {
    print(context, options.output, report, reportText)
  }
  if (report.failure === null) return
  if (options.output === 'table') context.note(`starling: ${printable(report.failure)}`)
  context.setExitCode(exitCodes.failed)
}

function reportText(report: PullReport): string {
  const rows = report.pieces.map((piece) => [
    piece.kind,
    shortDigest(piece.digest),
    formatSize(piece.sizeBytes),
    `${Math.round(piece.durationMs)} ms`,
    `${formatSize(piece.bytesPerSecond)}/s`,
    sourceText(piece),
  ])
  const table = formatTable(['what', 'digest', 'size', 'time', 'rate', 'from'], rows)
  if (report.failure !== null) return table
  const rate = report.sizeBytes / Math.max(0.0001, report.durationMs / 1000)
  const total = `${formatSize(report.sizeBytes)} in ${(report.durationMs / 1000).toFixed(1)} s, ${formatSize(Math.round(rate))}/s`
  const name = formatReference(parseReference(report.reference))
  return `${table}\n${name} for ${report.platform}: ${total}; ${report.digest}\n`
}

/** `node-2`, or `node-2 75%, node-3 25%`. */
function sourceText({ source, peers }: PulledPiece): string {
  if (source === 'local') return 'this node'
  if (source === 'memory') return 'this node (memory)'
  if (peers.length === 0) return source === 'unknown' ? '?' : 'nobody'
  const all = peers.reduce((sum, { bytes }) => sum + bytes, 0)
  if (peers.length === 1) return peers[0]?.name ?? ''
  return peers.map(({ name, bytes }) => `${name} ${Math.round((100 * bytes) / all)}%`).join(', ')
}
