import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { Command } from 'commander'
import { createProgram } from '../../lib/cli/main.ts'
import { runCli } from './run-cli.ts'

function allCommands(command: Command): Command[] {
  return [command, ...command.commands.flatMap(allCommands)]
}

function pathOf(command: Command): string {
  return command.parent === null ? command.name() : `${pathOf(command.parent)} ${command.name()}`
}

function helpOf(command: Command): string {
  let text = ''
  command.configureOutput({
    writeOut: (part) => {
      text += part
    },
  })
  command.outputHelp()
  return text
}

const program = createProgram({ write: () => {}, note: () => {}, setExitCode: () => {} })
const commands = allCommands(program)

describe('the help', () => {
  it('covers the commands that the product promises', () => {
    const names = commands.map(pathOf)
    for (const name of [
      'agent',
      'status',
      'peers',
      'images',
      'where',
      'pull',
      'config show',
      'config schema',
      'config check',
      'configure',
      'trust init',
      'version',
    ]) {
      assert(names.includes(`starling ${name}`), name)
    }
  })

  for (const command of commands) {
    it(`of ${pathOf(command)} says what it does and gives examples of itself`, () => {
      const text = helpOf(command)
      assert(command.description().length > 20, 'no description')
      assert.match(text, /\nExamples:\n {2}\$ starling /)
      assert(text.includes(`$ ${pathOf(command)}`), text)
      for (const option of command.options) assert(option.description.length > 3, option.flags)
      for (const argument of command.registeredArguments)
        assert(argument.description.length > 3, argument.name())
    })
  }

  it('is what starling prints without arguments', async () => {
    const run = await runCli()
    assert.deepEqual([run.code, run.stderr], [0, ''])
    assert.match(run.stdout, /^Usage: starling [\s\S]*Examples:[\s\S]*Exit codes:/)
  })

  it('of a command goes to standard output with code 0', async () => {
    const run = await runCli('where', '--help')
    assert.deepEqual([run.code, run.stderr], [0, ''])
    assert.match(run.stdout, /^Usage: starling where/)
  })
})

describe('wrong usage', () => {
  for (const [args, line] of [
    [['statsu'], "starling: unknown command 'statsu' (Did you mean status?); see starling --help"],
    [
      ['peers', '--outptu', 'json'],
      "starling: unknown option '--outptu' (Did you mean --output?); see starling --help",
    ],
    [['where'], "starling: missing required argument 'query'; see starling --help"],
    [
      ['peers', '-o', 'xml'],
      "starling: option '-o, --output <format>' argument 'xml' is invalid. Allowed choices are table, json, yaml; see starling --help",
    ],
    [
      ['trust', 'init', '--dir', 'x', '--node', 'a=b=c'],
      /^starling: --node "a=b=c": .*; expected NAME or NAME=address,address$/,
    ],
    [
      ['trust', 'init', '--dir', 'x', '--node', 'a', '--days', '-1'],
      /^starling: --days "-1" is no number of days; for example/,
    ],
    [
      ['config', 'show', '--config', '/nonexistent'],
      /^\/nonexistent: the file does not exist; name another one/,
    ],
    [['config', 'check', '--config', '/'], '/: this is a folder; name the file in it'],
    [['agent', '--config', '/dev/null'], '/dev/null: this is not a plain file; name a plain file'],
  ] as const) {
    it(`${args.join(' ')} ends with one line and code 2`, async () => {
      const run = await runCli(...args)
      assert.deepEqual([run.code, run.stdout], [2, ''])
      const [first = '', ...rest] = run.stderr.split('\n')
      assert.deepEqual(rest, [''])
      if (typeof line === 'string') assert.equal(first, line)
      else assert.match(first, line)
    })
  }
})
