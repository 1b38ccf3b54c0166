import type { Command } from 'commander'
import type { ClusterStatusView, FlightView, ImportView, StatusView } from '../core/ops-view.ts'
import { formatSize } from '../core/units.ts'
import { type CliContext, examples } from './context.ts'
import { addNodeOptions, findNode, type NodeOptions } from './find-node.ts'
import {
  formatAge,
  formatFacts,
  formatTable,
  listSome,
  type OutputFormat,
  outputOption,
  print,
} from './output.ts'
import { progressText } from './progress.ts'
import { stageText } from './rotation.ts'

/** More flights are counted. */
const maxFlights = 12

/** `starling status` */
export function addStatusCommand(program: Command, context: CliContext): void {
  addNodeOptions(program.command('status'))
    .description('Show what the node of this machine does, and what needs attention')
    .addOption(outputOption())
    .addHelpText(
      'after',
      examples(
        ['starling status', 'the node of this machine'],
        ['starling status --output json | jq .problems', 'what needs attention'],
      ),
    )
    .action(async (options: NodeOptions & { output: OutputFormat }) => {
      print(context, options.output, await (await findNode(options)).status(), statusText)
    })
}

function statusText(status: StatusView): string {
  const { members, store } = status
  const memberText = (['alive', 'suspect', 'stalled', 'dead', 'left'] as const)
    .filter((state) => state === 'alive' || members[state] > 0)
    .map((state) => `${members[state]} ${state}`)
    .join(', ')
  const storeText = [store.kind, store.version, store.state, store.problem].filter(
    (part) => part !== undefined,
  )
  const facts = formatFacts([
    ['node', `${status.name}${status.zone === '' ? '' : ` in zone ${status.zone}`} (${status.role})`],
    ['peer id', status.peerId],
    ['version', status.version],
    ['running', `${formatAge(status.uptimeMs)}, since ${status.startedAt}`],
    ['sharing', `${status.sharing.active ? 'yes' : 'no'}: ${status.sharing.reason}`],
    ['registry', status.registryListen.length > 0 ? status.registryListen.join(', ') : 'not listening'],
    [
      'p2p',
      status.p2pListen.length > 0
        ? `${status.p2pListen.join(', ')}, ${status.udp ? 'TCP and UDP' : 'TCP only'}`
        : 'not listening',
    ],
    ['store', storeText.join(', ')],
    ['images folder', importsText(status.imports)],
    ['flights', flightsText(status.flights ?? [])],
    ['members', `${memberText}; ${status.connections} connected`],
    ...clusterFacts(status.cluster),
    ['certificates', status.certificates.map(({ name, notAfter }) => `${name} until ${notAfter}`)],
    ['problems', status.problems.length > 0 ? status.problems : 'none'],
  ])
  if (status.registries.length === 0) return facts
  const rows = status.registries.map((registry) => [
    registry.registry,
    String(registry.origins),
    String(registry.localDigests),
    String(registry.localTags),
    String(registry.digests),
    String(registry.tags),
    String(registry.disputedTags),
  ])
  const header = ['registry', 'nodes', 'digests here', 'tags here', 'digests', 'tags', 'disputed']
  return `${facts}\n${formatTable(header, rows)}`
}

function clusterFacts(cluster: ClusterStatusView | undefined): readonly (readonly [string, string])[] {
  if (cluster === undefined) return []
  const { servers, follows, embeddedRegistry, rotation, revoked } = cluster
  const from = follows === null ? 'none answers now' : `changes come from ${follows}`
  const registry = `embedded-registry is ${embeddedRegistry ? 'on' : 'off'}`
  return [
    ['servers', `${servers.join(', ')}; ${from}; ${registry}`],
    ['rotation', rotation === null ? 'none' : stageText(rotation)],
    ['revoked', revoked.length === 0 ? 'nobody' : listSome(revoked)],
  ]
}

function flightsText(flights: readonly FlightView[]): string | readonly string[] {
  if (flights.length === 0) return 'none'
  const lines = flights.slice(0, maxFlights).map((flight) => {
    const { role, parent, leader, digest, reachedBytes, sizeBytes, savedBytes, participants } = flight
    const led = leader === null ? '' : `, led by ${leader}`
    const what = {
      lead: 'from upstream, for others',
      follow: `from ${parent ?? 'nobody'}`,
      steward: `arranged for ${participants} ${participants === 1 ? 'node' : 'nodes'}${led}`,
    }[role]
    const size = sizeBytes === null ? 'an unknown size' : formatSize(sizeBytes)
    const saved = savedBytes > 0 ? `, ${formatSize(savedBytes)} saved` : ''
    return `${digest.slice(0, 19)}… ${what}: ${formatSize(reachedBytes)} of ${size}${saved}`
  })
  const more = flights.length - lines.length
  return more > 0 ? [...lines, `and ${more} more`] : lines
}

const counted = (count: number, what: string) => `${count} ${what}${count === 1 ? '' : 's'}`

function importsText(imports: ImportView | undefined): readonly string[] {
  if (imports === undefined) return ['not followed']
  const good = imports.files.filter((file) => file.problem === undefined)
  const images = good.reduce((sum, file) => sum + file.images.length, 0)
  const broken = imports.files.length - good.length
  const waiting = imports.files.reduce((sum, file) => sum + file.waiting.length, 0)
  const rest = broken > 0 ? `, ${counted(broken, 'file')} cannot be used` : ''
  const later = waiting > 0 ? `, ${waiting} that no node has yet` : ''
  const summary = `${imports.folder}: ${counted(images, 'image')} of ${counted(good.length, 'file')}${later}${rest}`
  if (imports.current === undefined) return [summary]
  const { file, filesLeft, bytesPerSecond } = imports.current
  const left = filesLeft > 0 ? `; ${filesLeft} more ${filesLeft === 1 ? 'file waits' : 'files wait'}` : ''
  return [summary, `importing ${file}: ${progressText(imports.current, bytesPerSecond)}${left}`]
}
