import { execFileSync, spawnSync } from 'node:child_process'
import { onEarlyExit, runOrFail } from '../processes.ts'
import { skipWithout } from '../requirements.ts'
import type { CuttableNetwork } from './network.ts'

const table = 'starling_cut'
let counter = 0

/** For the `skip` option of tests: `false` where namespaces, bridges and packet filters can be made, else why not. */
export function skipWithoutNamespaces(): string | false {
  const missing = skipWithout('root', 'ip', 'nft', 'tc')
  if (missing !== false) return missing
  const name = `starling-try-${process.pid}`
  const tried = [
    ['netns', 'add', name],
    ['link', 'add', `st${process.pid}`, 'type', 'bridge'],
  ].map((args) => spawnSync('ip', args).status)
  const filter = spawnSync('ip', ['netns', 'exec', name, 'nft', 'add', 'table', 'inet', table])
  spawnSync('ip', ['link', 'delete', `st${process.pid}`])
  spawnSync('ip', ['netns', 'delete', name])
  return tried.every((status) => status === 0) && filter.status === 0
    ? false
    : 'network namespaces, bridges or nftables cannot be used here'
}

/** The /24 of 10/8 that this machine has no route to yet and that no other test takes at the same time. */
function freeSubnet(): string {
  const routes = execFileSync('ip', ['-4', 'route'], { encoding: 'utf8' })
  for (let tries = 0; tries < 200; tries += 1) {
    const number = (process.pid * 31 + counter * 7 + tries) % 65_000
    const prefix = `10.${64 + (Math.floor(number / 250) % 180)}.${number % 250}`
    if (!routes.includes(`${prefix}.`)) return prefix
  }
  throw new Error('no free network in 10/8')
}

/** Removes the table, also where there is none yet. */
const dropTable = `table inet ${table} {}\ndelete table inet ${table}\n`

function dropFrom(addresses: readonly string[]): string {
  return addresses.length === 0 ? '' : `ip saddr { ${addresses.join(', ')} } counter drop;`
}

function tableWith(rule: string): string {
  return `table inet ${table} {\nchain arriving {\ntype filter hook input priority 0;\n${rule}\n}\n}\n`
}

export interface NamespaceOptions {
  /** Bits per second for each direction of each link, in the words of tc: `200mbit`. */
  readonly rate?: string
  /** Largest packet of each link in bytes; default that of the system, 1500. */
  readonly mtu?: number
}

const tbf = (device: string, rate: string) =>
  ['qdisc', 'add', 'dev', device, 'root', 'tbf', 'rate', rate, 'burst', '256kb', 'latency', '50ms'] as const

interface Link {
  readonly namespace: string
  /** The end on the bridge; the other one is `eth0` in the namespace. */
  readonly device: string
  readonly address: string
}

async function addLink(link: Link, bridge: string, { rate, mtu }: NamespaceOptions): Promise<void> {
  const { namespace, device, address } = link
  const ip = (...args: string[]) => runOrFail('ip', args)
  await ip('netns', 'add', namespace)
  await ip('link', 'add', device, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', namespace)
  await ip('link', 'set', device, 'master', bridge, 'up')
  await ip('-n', namespace, 'link', 'set', 'lo', 'up')
  await ip('-n', namespace, 'address', 'add', `${address}/24`, 'dev', 'eth0')
  await ip('-n', namespace, 'link', 'set', 'eth0', 'up')
  if (mtu !== undefined) {
    await ip('link', 'set', device, 'mtu', String(mtu))
    await ip('-n', namespace, 'link', 'set', 'eth0', 'mtu', String(mtu))
  }
  if (rate === undefined) return
  await runOrFail('tc', tbf(device, rate))
  await ip('netns', 'exec', namespace, 'tc', ...tbf('eth0', rate))
}

/**
 * A bridge, and for each node a network namespace with one link to it. Needs root, iproute2 and nftables; all of it is
 * removed with the network, and when this process ends early.
 */
export async function namespaceNetwork(
  count: number,
  options: NamespaceOptions = {},
): Promise<CuttableNetwork> {
  counter += 1
  const id = `${process.pid.toString(36)}${counter.toString(36)}`
  const bridge = `sb${id}`
  const prefix = freeSubnet()
  const links: Link[] = Array.from({ length: count }, (_, index) => ({
    namespace: `starling-${id}-${index}`,
    device: `sv${id}n${index}`,
    address: `${prefix}.${index + 1}`,
  }))
  const linkOf = (index: number): Link => {
    const link = links[index]
    if (link === undefined) throw new Error(`there is no node ${index} in this network`)
    return link
  }
  const removeAll = () => {
    for (const link of links) spawnSync('ip', ['link', 'delete', link.device])
    for (const link of links) spawnSync('ip', ['netns', 'delete', link.namespace])
    spawnSync('ip', ['link', 'delete', bridge])
  }
  const forget = onEarlyExit(removeAll)
  const filter = (link: Link, input: string) =>
    runOrFail('ip', ['netns', 'exec', link.namespace, 'nft', '-f', '-'], { input })
  /** `hears`: does a packet of `from` arrive at `to`? */
  const cutWhere = async (hears: (to: number, from: number) => boolean) => {
    await Promise.all(
      links.map((link, to) => {
        const unheard = links.filter((_, from) => !hears(to, from)).map(({ address }) => address)
        return filter(link, `${dropTable}\n${tableWith(dropFrom(unheard))}`)
      }),
    )
  }
  try {
    await runOrFail('ip', ['link', 'add', bridge, 'type', 'bridge'])
    await runOrFail('ip', ['address', 'add', `${prefix}.254/24`, 'dev', bridge])
    await runOrFail('ip', ['link', 'set', bridge, 'up'])
    for (const link of links) await addLink(link, bridge, options)
  } catch (error) {
    forget()
    removeAll()
    throw error
  }
  return {
    hostAddress: `${prefix}.254`,
    addressOf: (index) => linkOf(index).address,
    commandFor: (index, file, args) => ['ip', 'netns', 'exec', linkOf(index).namespace, file, ...args],
    async cut(groups) {
      const groupOf = (index: number) => groups.find((members) => members.includes(index)) ?? [index]
      await cutWhere((to, from) => groupOf(to).includes(from))
    },
    cutOneWay: (from, to) => cutWhere((hearer, speaker) => hearer !== to || speaker !== from),
    async blockUdp() {
      const input = `${dropTable}\n${tableWith('meta l4proto udp counter drop;')}`
      await Promise.all(links.map((link) => filter(link, input)))
    },
    async vanished(index) {
      const list = ['netns', 'exec', linkOf(index).namespace, 'nft', 'list', 'table', 'inet', table]
      const { stdout } = await runOrFail('ip', list)
      return Number(/counter packets (\d+)/.exec(stdout)?.[1] ?? 0)
    },
    async heal() {
      await Promise.all(links.map((link) => filter(link, dropTable)))
    },
    async setLink(index, up) {
      await runOrFail('ip', ['link', 'set', linkOf(index).device, up ? 'up' : 'down'])
    },
    async [Symbol.asyncDispose]() {
      forget()
      removeAll()
    },
  }
}
