import { setTimeout as delay } from 'node:timers/promises'
import type { ClusterNode } from './node-process.ts'

/** Takes its cores from a process for so long in each period, as a hypervisor does that has promised too much. */
export interface Theft {
  /** Gives them back for good. */
  end(): Promise<void>
}

/** By SIGSTOP and SIGCONT, until it is ended or this process is. */
export function stealCores(
  node: Pick<ClusterNode, 'pause' | 'resume'>,
  { stolenMs, periodMs }: { stolenMs: number; periodMs: number },
): Theft {
  let over = false
  const run = async () => {
    while (!over) {
      node.pause()
      await delay(stolenMs)
      node.resume()
      await delay(periodMs - stolenMs)
    }
  }
  const running = run()
  return {
    async end() {
      over = true
      await running
    },
  }
}
