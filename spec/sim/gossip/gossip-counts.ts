import type { MetricsRegister } from '../../../lib/network/bus.ts'

/** What all nodes of an overlay have sent: copies of messages, and control entries by kind. */
export interface GossipCounts {
  copies: number
  bytes: number
  idontwant: number
  ihave: number
  iwant: number
  graft: number
  prune: number
}

export function noCounts(): GossipCounts {
  return { copies: 0, bytes: 0, idontwant: 0, ihave: 0, iwant: 0, graft: 0, prune: 0 }
}

export function differenceOf(now: GossipCounts, before: GossipCounts): GossipCounts {
  const difference = noCounts()
  for (const kind of Object.keys(difference) as (keyof GossipCounts)[])
    difference[kind] = now[kind] - before[kind]
  return difference
}

const gauges: Readonly<Record<string, keyof GossipCounts>> = {
  gossipsub_rpc_sent_message_total: 'copies',
  gossipsub_rpc_sent_bytes_total: 'bytes',
  gossipsub_rpc_sent_idontwant_total: 'idontwant',
  gossipsub_rpc_sent_ihave_total: 'ihave',
  gossipsub_rpc_sent_iwant_total: 'iwant',
  gossipsub_rpc_sent_graft_total: 'graft',
  gossipsub_rpc_sent_prune_total: 'prune',
}

/** Gossipsub's own figures, of which only those of `GossipCounts` are kept, summed over all nodes that share it. */
export function countingRegister(counts: GossipCounts): MetricsRegister {
  const ignored = {
    inc() {},
    set() {},
    addCollect() {},
    observe() {},
    reset() {},
    startTimer: () => () => {},
  }
  return {
    gauge: ({ name }: { name: string }) => {
      const field = gauges[name]
      if (field === undefined) return ignored as never
      const inc = (first?: unknown, second?: unknown) => {
        counts[field] += typeof first === 'number' ? first : typeof second === 'number' ? second : 1
      }
      return { ...ignored, inc } as never
    },
    histogram: () => ignored as never,
    avgMinMax: () => ignored as never,
  }
}
