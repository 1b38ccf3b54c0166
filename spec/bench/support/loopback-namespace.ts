import { spawnSync } from 'node:child_process'
import { type ClusterNetwork, loopbackNetwork } from '../../support/cluster/network.ts'
import { onEarlyExit } from '../../support/processes.ts'

/** A loopback of its own, so that every byte on it belongs to what is measured. */
export interface LoopbackNamespace extends ClusterNetwork {
  /** Bytes that were sent so far, with the headers of IP and UDP or TCP. */
  sentBytes(): number
}

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
  ip('netns', 'add', name)
  ip('-n', name, 'link', 'set', 'lo', 'up')
  return {
    ...loopbackNetwork(),
    commandFor: (_index, file, args) => ['ip', 'netns', 'exec', name, file, ...args],
    sentBytes() {
      const line = /^\s*lo:\s*(.*)$/m.exec(ip('netns', 'exec', name, 'cat', '/proc/net/dev'))
      return Number(line?.[1]?.trim().split(/\s+/)[8] ?? Number.NaN)
    },
    async [Symbol.asyncDispose]() {
      remove()
      forget()
    },
  }
}
