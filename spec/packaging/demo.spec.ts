import assert from 'node:assert/strict'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { containerdAvailable } from '../support/containerd.ts'
import { runToEnd } from '../support/processes.ts'
import { projectDir } from '../support/project.ts'

const main = join(projectDir, 'spec', 'support', 'demo', 'main.ts')

async function play(...args: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await runToEnd(process.execPath, [main, ...args], { timeoutMs: 60_000 })
  assert.equal(code, 0, `${stdout}\n${stderr}`)
  return stdout
}

/** The promises of the README, in the order in which the demo shows them. */
const promises = [
  /all three see one another/,
  /node-2 can resolve it after [\d.]+ m?s/,
  /Pull through the mirror of node-3[\s\S]*why: from node-1 \(1 of 1 holder\)/,
  /node-2 declares it dead after/,
  /Pull through the mirror of node-2[\s\S]*why: from node-3/,
  /starling peers[\s\S]*node-1 +dead/,
  /starling where[\s\S]*node-3/,
]

describe('the demo', () => {
  it('shows what it promises and ends well within a minute', async () => {
    const stdout = await play()
    for (const promise of promises) assert.match(stdout, promise)
  })

  it('does the same with real containerds', { skip: containerdAvailable() ?? false }, async () => {
    const stdout = await play('--containerd')
    for (const promise of promises) assert.match(stdout, promise)
  })
})
