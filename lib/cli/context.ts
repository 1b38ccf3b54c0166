import { type ErrorCode, StarlingError } from '../core/errors.ts'

/** Where a command writes, and what it leaves behind. */
export interface CliContext {
  /** To standard output. */
  write(text: string): void
  /** A line to standard error. */
  note(line: string): void
  /** Of the process; 0 unless a command says otherwise. */
  setExitCode(code: number): void
}

export const exitCodes = { ok: 0, failed: 1, usage: 2, noNode: 3 } as const

export const defaultConfigFile = '/etc/starling/config.yaml'

const usageCodes: ReadonlySet<ErrorCode> = new Set([
  'USAGE',
  'CONFIG_INVALID',
  'REGISTRIES_INVALID',
  'DIGEST_INVALID',
  'REFERENCE_INVALID',
])

export function exitCodeOf(error: unknown): number {
  if (!(error instanceof StarlingError)) return exitCodes.failed
  if (error.code === 'OPS_UNAVAILABLE') return exitCodes.noNode
  return usageCodes.has(error.code) ? exitCodes.usage : exitCodes.failed
}

/** The end of a command's help. */
export function examples(...lines: readonly (readonly [command: string, meaning: string])[]): string {
  const width = Math.max(...lines.map(([command]) => command.length))
  return `\nExamples:\n${lines.map(([command, meaning]) => `  $ ${command.padEnd(width)}   # ${meaning}`).join('\n')}`
}
