import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { describe, it } from 'node:test'
import { eventually } from '../eventually.ts'
import { endOwned, runToEnd, startOwned } from '../processes.ts'
import { namespaceNetwork, skipWithoutNamespaces } from './namespaces.ts'
import type { CuttableNetwork } from './network.ts'

const listenScript = `require('node:net').createServer((s) => s.end('x')).listen(7000, process.argv[1])`
const dialScript = `
  const s = require('node:net').connect({ port: 7000, host: process.argv[1], timeout: 700 })
  s.on('data', () => process.exit(0)); s.on('error', () => process.exit(1)); s.on('timeout', () => process.exit(2))`

async function dial(network: CuttableNetwork, from: number, to: string): Promise<number | null> {
  const [file, ...args] = network.commandFor(from, process.execPath, ['-e', dialScript, to])
  return (await runToEnd(file, args)).code
}

describe('the network of namespaces', { skip: skipWithoutNamespaces() }, () => {
  it('joins its nodes and the host, cuts them apart silently, heals, and leaves nothing behind', async () => {
    const links = () =>
      spawnSync('ip', ['-o', 'link'], { encoding: 'utf8' })
        .stdout.match(/\bs[bv]\w+/g)
        ?.join() ?? ''
    const before = links()
    {
      await using network = await namespaceNetwork(3, { rate: '1gbit' })
      const [file, ...args] = network.commandFor(1, process.execPath, [
        '-e',
        listenScript,
        network.addressOf(1),
      ])
      const listener = startOwned(file, args, { stdio: 'ignore' })
      await eventually(async () => (await dial(network, 0, network.addressOf(1))) === 0)
      assert.equal(await dial(network, 2, network.addressOf(1)), 0)

      await network.cut([[0], [1, 2]])
      assert.equal(await dial(network, 0, network.addressOf(1)), 2, 'packets vanish, nobody is told')
      assert.equal(await dial(network, 2, network.addressOf(1)), 0)
      await network.cut([[0, 1]])
      assert.equal(await dial(network, 0, network.addressOf(1)), 0)
      assert.equal(await dial(network, 2, network.addressOf(1)), 2)

      await network.cutOneWay(0, 1)
      assert.equal(await network.vanished(1), 0)
      assert.equal(await dial(network, 0, network.addressOf(1)), 2, 'what node 0 sends does not arrive')
      assert.equal(await dial(network, 2, network.addressOf(1)), 0)
      assert.ok((await network.vanished(1)) > 0)

      await network.heal()
      assert.equal(await dial(network, 2, network.addressOf(1)), 0)
      await network.setLink(1, false)
      assert.equal(await dial(network, 0, network.addressOf(1)), 2)
      await network.setLink(1, true)

      const server = createServer((socket) => socket.end('x')).listen(7000, network.hostAddress)
      await once(server, 'listening')
      assert.equal(await dial(network, 0, network.hostAddress), 0, 'a node reaches the host')
      server.close()
      await endOwned(listener)
    }
    await eventually(() => links() === before, { what: 'the removal of all links' })
  })
})
