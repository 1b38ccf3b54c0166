import { spawnSync } from 'node:child_process'
import { type ClusterNetwork, loopbackNetwork } from '../../support/cluster/network.ts'
import { onEarlyExit } from '../../support/processes.ts'

/** A loopback of its own, so that every byte on it belongs to what is measured. */
export interface LoopbackNamespace extends ClusterNetwork {
  /** Bytes that were sent so far, with the headers of IP and UDP or TCP. */
  sentBytes(): number
  /** From now on every packet to and from the address of this agent is lost; replaces what was silenced before. */
  silence(index: number): void
  heal(): void
}

const table = 'starling_bench'
const dropTable = `table inet ${table} {}\ndelete table inet ${table}\n`

function ip(...args: readonly string[]): string {
  const { status, stdout, stderr, error } = spawnSync('ip', args, { encoding: 'utf8' })
  if (status !== 0) throw new Error(`ip ${args.join(' ')}: ${error?.message ?? stderr}`)
  return stdout
}

/** Needs root. @throws Error where network namespaces can't be made */
export function loopbackNamespace(label: string): LoopbackNamespace {
  const name = `starling-bench-${label}-${process.pid}`
  const remove = () => void spawnSync('ip', ['netns', 'delete', name])
  const forget = onEarlyExit(remove)
  const filter = (input: string) => {
    const args = ['netns', 'exec', name, 'nft', '-f', '-']
    const { status, stderr, error } = spawnSync('ip', args, { encoding: 'utf8', input })
    if (status !== 0) throw new Error(`nft: ${error?.message ?? stderr}`)
  }
  ip('netns', 'add', name)
  ip('-n', name, 'link', 'set', 'lo', 'up')
  const loopback = loopbackNetwork()
  return {
    ...loopback,
    commandFor: (_index, file, args) => ['ip', 'netns', 'exec', name, file, ...args],
    sentBytes() {
      const line = /^\s*lo:\s*(.*)$/m.exec(ip('netns', 'exec', name, 'cat', '/proc/net/dev'))
      return Number(line?.[1]?.trim().split(/\s+/)[8] ?? Number.NaN)
    },
    silence(index) {
      const address = loopback.addressOf(index)
      const rules = `ip daddr ${address} drop; ip saddr ${address} drop;`
      filter(
        `${dropTable}table inet ${table} {\nchain arriving {\ntype filter hook input priority 0;\n${rules}\n}\n}\n`,
      )
    },
    heal: () => filter(dropTable),
    async [Symbol.asyncDispose]() {
      remove()
      forget()
    },
  }
}
