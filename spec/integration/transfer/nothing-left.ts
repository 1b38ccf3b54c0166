import assert from 'node:assert/strict'
import { eventually } from '../../support/eventually.ts'
import { MixedRequests, type OpenThings, openThings } from './mixed-requests.ts'

/** What a few caches of bounded size may grow by. */
const cachesBytes = 6 * 2 ** 20
/** Kept connections to two peers, both ends of each in this process, each with the timer of its idleness. */
const keptSockets = 2 * 2 * 4
const warmUp = 500

/** Sends so many requests of mixed fates and asserts that what they had open is closed, and the rest when the registries stop. */
export async function assertNothingLeft(requests: number, log: (line: string) => void): Promise<void> {
  const atStart = openThings()
  const mixed = await MixedRequests.start()
  const quiet = async (): Promise<OpenThings> => {
    mixed.hangUp()
    let now = openThings()
    await eventually(
      () => {
        now = openThings()
        return now.files === 0
      },
      { what: 'all files to be closed' },
    )
    return now
  }
  try {
    await mixed.run(warmUp)
    const before = await quiet()
    await mixed.run(requests)
    let after = await quiet()
    const settled = () =>
      after.sockets <= before.sockets + keptSockets &&
      after.timers <= before.timers + keptSockets &&
      after.memoryBytes <= before.memoryBytes + cachesBytes
    await eventually(
      async () => {
        after = await quiet()
        return settled()
      },
      { what: 'connections and memory to be as before' },
    ).catch(() => assert.deepEqual(after, before))
    log(`before ${JSON.stringify(before)}, after ${JSON.stringify(after)}`)
  } finally {
    await mixed[Symbol.asyncDispose]()
  }
  await eventually(
    () => {
      const { files, sockets, timers } = openThings()
      return files === 0 && sockets <= atStart.sockets && timers <= atStart.timers
    },
    { what: 'nothing to be open after the end' },
  )
}
