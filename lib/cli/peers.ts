import type { Command } from 'commander'
import type { PeerView } from '../core/ops-view.ts'
import { type CliContext, examples } from './context.ts'
import { addNodeOptions, findNode, type NodeOptions } from './find-node.ts'
import { formatTable, type OutputFormat, outputOption, print } from './output.ts'

const maxShownRegistries = 4

/** `starling peers` */
export function addPeersCommand(program: Command, context: CliContext): void {
  addNodeOptions(program.command('peers'))
    .description('List every member of the cluster that this node knows, the dead ones too; * is this node')
    .addOption(outputOption())
    .addHelpText(
      'after',
      examples(['starling peers', 'a table'], ['starling peers --output json', 'the same for scripts']),
    )
    .action(async (options: NodeOptions & { output: OutputFormat }) => {
      print(context, options.output, await (await findNode(options)).peers(), peersText)
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
    peer.state,
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
  return formatTable(header, rows)
}

function registriesText(peer: PeerView): string {
  if (peer.registriesCount === 0) return '-'
  const shown = peer.registries.slice(0, maxShownRegistries)
  const more = peer.registriesCount - shown.length
  if (shown.length === 0) return String(peer.registriesCount)
  return `${shown.join(',')}${more > 0 ? ` and ${more} more` : ''}`
}
