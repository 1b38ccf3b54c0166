import type { Command } from 'commander'
import type { PeerFlightView, PeerView, QuarantineView } from '../core/ops-view.ts'
import { formatSize } from '../core/units.ts'
import { type CliContext, examples } from './context.ts'
import { addNodeOptions, findNode, type NodeOptions } from './find-node.ts'
import { formatTable, type OutputFormat, outputOption, print, printable } from './output.ts'

const maxShownRegistries = 4
/** More flights are counted. */
const maxShownFlights = 24

/** `starling peers` */
export function addPeersCommand(program: Command, context: CliContext): void {
  const peers = addNodeOptions(program.command('peers'))
    .helpCommand(false)
    .description(
      'List every member of the cluster that this node knows, the dead ones too; * is this node. Those in quarantine sent it wrong bytes. Blobs in flight are shown as far as this node takes part in them or arranges them',
    )
    .addOption(outputOption())
    .addHelpText(
      'after',
      examples(
        ['starling peers', 'a table'],
        ['starling peers --output json', 'the same for scripts'],
        ['starling peers release node-3', 'take it out of quarantine'],
      ),
    )
    .action(async (options: NodeOptions & { output: OutputFormat }) => {
      print(context, options.output, await (await findNode(options)).peers(), peersText)
    })

  peers
    .command('release')
    .description('Take a peer that sent wrong bytes, and is mended, out of the quarantine of this node')
    .argument('<peer>', 'its name or its PeerId')
    .addHelpText('after', examples(['starling peers release node-3', 'it is a candidate again']))
    .action(async (peer: string, _options: object, command: Command) => {
      const node = await findNode(command.optsWithGlobals<NodeOptions>())
      const { name } = await node.admin<QuarantineView>('peers-release', { peer })
      context.write(`${name}: released\n`)
    })
}

function peersText(peers: readonly PeerView[]): string {
  const header = [
    'name',
    'state',
    'since',
    'incarnation',
    'rtt',
    'connected',
    'digests',
    'registries',
    'zone',
    'addresses',
    'version',
    'peer id',
  ]
  const rows = peers.map((peer) => [
    `${peer.name}${peer.self ? '*' : ''}`,
    peer.quarantine === undefined ? peer.state : `${peer.state}, quarantined`,
    peer.since,
    String(peer.incarnation),
    peer.rttMs === null ? '-' : `${peer.rttMs.toFixed(1)}ms`,
    peer.self ? '-' : peer.connected ? 'yes' : 'no',
    String(peer.digests),
    registriesText(peer),
    peer.zone === '' ? '-' : peer.zone,
    peer.addresses.join(','),
    peer.version,
    peer.peerId,
  ])
  const kept = peers.flatMap((peer) => peer.quarantine ?? [])
  return `${formatTable(header, rows)}${flightsText(peers)}${kept.map(quarantineText).join('')}`
}

function flightsText(peers: readonly PeerView[]): string {
  const flights = peers.flatMap(({ name, flights = [] }) => flights.map((flight) => ({ name, flight })))
  const lines = flights.slice(0, maxShownFlights).map(({ name, flight }) => flightText(name, flight))
  const more = flights.length - lines.length
  return [...lines, ...(more > 0 ? [`and ${more} more in flight\n`] : [])].join('')
}

function flightText(name: string, flight: PeerFlightView): string {
  const { digest, role, parent, reachedBytes, sizeBytes } = flight
  const how = role === 'lead' ? 'for others' : `from ${parent ?? 'nobody yet'}`
  const size = sizeBytes === null ? 'an unknown size' : formatSize(sizeBytes)
  return `${printable(`${name} gets ${digest} ${how}: ${formatSize(reachedBytes)} of ${size}`)}\n`
}

function registriesText(peer: PeerView): string {
  if (peer.registriesCount === 0) return '-'
  const shown = peer.registries.slice(0, maxShownRegistries)
  const more = peer.registriesCount - shown.length
  if (shown.length === 0) return String(peer.registriesCount)
  return `${shown.join(',')}${more > 0 ? ` and ${more} more` : ''}`
}

function quarantineText({ name, since, until, digest, reason, times }: QuarantineView): string {
  const often = times > 1 ? `, ${times} times by now` : ''
  const line = `${name} is in quarantine since ${since}${often}, until ${until}: wrong bytes of ${digest}: ${reason}`
  return `${printable(line)}\n`
}
