import { join } from 'node:path'
import { describeError, StarlingError } from '../../core/errors.ts'
import type { Subscribable } from '../../core/ports.ts'
import { createValue } from '../../core/value.ts'
import type { ClusterState } from '../../trust/cluster-state.ts'
import { readTrustText } from '../trust/text.ts'
import { writePrivateFile } from './private-file.ts'

/** In `dataDir`, mode 0700; whoever has it is the cluster. */
export const serverFolder = 'server'
export const stateFile = 'state.json'

/** The state of the cluster on this server. */
export interface ClusterStore extends Subscribable<ClusterState> {
  /** This server's name, in the stamps of what it writes. */
  readonly name: string
  /**
   * Changes the state; changes run one after the other, and each is on the disk before anybody sees it. Where `change`
   * returns the state that it was given, nothing happens.
   * @throws StarlingError DISK_FULL, TRUST_FILE_INVALID; what `change` throws. Nothing has changed then
   */
  update(change: (state: ClusterState) => ClusterState): Promise<ClusterState>
}

/** The text of the state's file. */
export function formatState(state: ClusterState): string {
  return `${JSON.stringify(state, null, 1)}\n`
}

/** @throws StarlingError TRUST_FILE_INVALID, TRUST_FILE_UNSAFE */
export async function openClusterStore(dataDir: string, name: string): Promise<ClusterStore> {
  const file = join(dataDir, serverFolder, stateFile)
  const { text } = await readTrustText(file, {
    what: 'the state of the cluster',
    secret: true,
    maxSizeBytes: 64 * 2 ** 20,
  })
  const value = createValue(parseState(text, file))
  let turn: Promise<unknown> = Promise.resolve()
  return {
    name,
    current: value.current,
    subscribe: value.subscribe,
    update(change) {
      const mine = turn.then(async () => {
        const before = value.current()
        const after = change(before)
        if (after === before) return before
        await writePrivateFile(file, formatState(after))
        value.set(after)
        return after
      })
      turn = mine.catch(() => undefined)
      return mine
    },
  }
}

/** @throws StarlingError TRUST_FILE_INVALID */
export function parseState(text: string, file: string): ClusterState {
  try {
    const state = JSON.parse(text) as ClusterState
    const parts = [
      state.authority,
      state.tokens,
      state.nodes,
      state.servers,
      state.settings,
      state.revocations,
    ]
    if (state.format !== 1) throw new Error(`its format is ${String(state.format)}, not 1`)
    if (parts.some((part) => typeof part !== 'object' || part === null)) throw new Error('parts are missing')
    return state
  } catch (cause) {
    throw new StarlingError(
      'TRUST_FILE_INVALID',
      `the state of the cluster cannot be read: ${describeError(cause)}`,
      {
        hint: 'restore it from a backup, or remove the folder and join another server',
        position: { file },
        cause,
      },
    )
  }
}
