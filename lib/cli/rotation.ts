import { setTimeout as pause } from 'node:timers/promises'
import type { Command } from 'commander'
import type { RotationRow } from '../app/supervisor/rotation-admin.ts'
import type { OpsClient } from '../ops/client.ts'
import { type CliContext, examples } from './context.ts'
import { addNodeOptions, findNode, type NodeOptions } from './find-node.ts'
import { formatFacts, listSome, type OutputFormat, outputOption, print } from './output.ts'

const lookMs = 500

interface Options extends NodeOptions {
  readonly abort?: boolean
  readonly continue?: boolean
  readonly wait: boolean
}

/** `starling trust rotate-psk|rotate-ca|rotation` */
export function addRotationCommands(trust: Command, context: CliContext): void {
  const kinds = [
    ['rotate-psk', 'Exchange the pre-shared key of the cluster while it works; on a server'],
    [
      'rotate-ca',
      'Exchange both CAs of the cluster while it works: every node gets new certificates; on a server',
    ],
  ] as const
  for (const [name, description] of kinds) {
    addNodeOptions(trust.command(name))
      .description(description)
      .option('--abort', 'break off the rotation that is under way: it goes back the way it came')
      .option('--continue', 'go on from this server, where the one that began it is gone')
      .option('--no-wait', 'do not wait for its end')
      .addHelpText(
        'after',
        examples(
          [`starling trust ${name}`, 'each stage waits for every node that is there'],
          [`starling trust ${name} --abort`, 'a node does not follow: back to what was before'],
        ),
      )
      .action(async (options: Options) => {
        const action =
          options.abort === true ? 'rotation-abort' : options.continue === true ? 'rotation-continue' : name
        await followRotation(await findNode(options), context, action, options.wait)
      })
  }

  addNodeOptions(trust.command('rotation'))
    .description('Show where a rotation stands, and which nodes it waits for; on a server')
    .addOption(outputOption())
    .addHelpText('after', examples(['starling trust rotation', 'is one under way?']))
    .action(async (options: NodeOptions & { output: OutputFormat }) => {
      const row = await (await findNode(options)).admin<RotationRow | null>('rotation-show')
      print(context, options.output, row, rotationText)
    })
}

/** Asks a server for a rotation, or a change of one, and tells of each stage until it has ended. */
export async function followRotation(
  server: OpsClient,
  context: CliContext,
  action: string,
  wait = true,
): Promise<void> {
  let row = await server.admin<RotationRow | null>(action)
  let told = ''
  while (row !== null) {
    const line = stageText(row)
    if (line !== told) context.note(line)
    told = line
    if (!wait) return
    await pause(lookMs)
    row = await server.admin<RotationRow | null>('rotation-show')
  }
  context.write('the rotation has ended: every node that is there works with it\n')
}

/** Where a rotation stands, in one line; with `waitingFor`, whom it waits for. */
export function stageText({
  kind,
  stage,
  back,
  waitingFor = [],
}: Pick<RotationRow, 'kind' | 'stage' | 'back'> & Partial<RotationRow>): string {
  const what = kind === 'psk' ? 'pre-shared key' : 'CA'
  const where = back ? 'going back' : stage === 'spread' ? 'all learn the new one' : 'all use the new one'
  const who = waitingFor.length === 0 ? '' : `; waiting for ${listSome(waitingFor)}`
  return `${what}: ${where}${who}`
}

function rotationText(row: RotationRow | null): string {
  if (row === null) return 'no rotation is under way\n'
  return formatFacts([
    ['rotation', stageText(row)],
    ['since', row.startedAt],
    ['conductor', row.conductor],
    ['waiting for', row.waitingFor.length === 0 ? 'nobody' : [...row.waitingFor]],
  ])
}
