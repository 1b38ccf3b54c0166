import assert from 'node:assert/strict'
import { mkdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { parse, stringify } from 'yaml'
import type { StatusView } from '../../lib/core/ops-view.ts'
import type { ClusterNode } from '../support/cluster/node-process.ts'
import { withCluster } from '../support/cluster.ts'
import { eventually } from '../support/eventually.ts'

async function put(file: string, text: string): Promise<void> {
  await writeFile(`${file}.new`, text)
  await rename(`${file}.new`, file)
}

const hostsFile = (node: ClusterNode, registry: string) => join(node.dir, 'certs.d', registry, 'hosts.toml')
const textOf = (file: string) => readFile(file, 'utf8').catch(() => '')
const problemsOf = async (node: ClusterNode) => (await node.ops<StatusView>('status')).problems
const waits = { timeoutMs: 60_000, intervalMs: 100 }

describe('a node whose files change while it runs', () => {
  it('applies good ones without a restart, refuses bad ones whole, and keeps certs.d in step', async () => {
    const configure = (config: object) => ({ ...config, manageHosts: true, removeHostsAtStop: true })
    await withCluster({ nodes: 1, mirrors: ['one.test'], configure }, async ({ nodes: [node] }) => {
      assert(node !== undefined)
      const { pid } = node
      await eventually(
        async () => (await textOf(hostsFile(node, 'one.test'))).includes(node.registryUrl),
        waits,
      )

      await put(node.registriesFile, 'mirrors:\n  one.test:\n  two.test:\n    endpoint: ["https://m.test"]\n')
      await eventually(
        async () => (await textOf(hostsFile(node, 'two.test'))).includes('https://m.test/v2'),
        waits,
      )
      assert.match((await node.ops<StatusView>('status')).sharing.reason, /one\.test, two\.test/)

      for (const bad of [
        'mirrors: [\n',
        'mirrors:\n\t- x\n',
        'mirrors:\n  *:\n',
        'mirrors:\n  a.b:\n  a.b:\n',
      ]) {
        await put(node.registriesFile, bad)
        await eventually(
          async () => (await problemsOf(node)).some((problem) => /registries\.yaml:\d+:\d+: /.test(problem)),
          waits,
        )
        assert.match((await node.ops<StatusView>('status')).sharing.reason, /one\.test, two\.test/)
        await put(node.registriesFile, 'mirrors:\n  one.test:\n  two.test:\n')
        await eventually(
          async () => !(await problemsOf(node)).some((text) => text.includes('registries.yaml')),
          waits,
        )
      }
      assert.ok(((await node.metric('starling_reload_failures_total')) ?? 0) >= 4)

      // As K3s does at its start: the folder goes, and other files come.
      await rm(join(node.dir, 'certs.d'), { recursive: true })
      await mkdir(join(node.dir, 'certs.d', 'one.test'), { recursive: true })
      await writeFile(hostsFile(node, 'one.test'), 'server = "https://one.test"\n')
      await eventually(
        async () => (await textOf(hostsFile(node, 'one.test'))).includes(node.registryUrl),
        waits,
      )
      assert.equal(
        await textOf(`${hostsFile(node, 'one.test')}.kept-by-starling`),
        'server = "https://one.test"\n',
      )

      const config = parse(await readFile(node.configFile, 'utf8')) as Record<string, unknown>
      const moved = `${node.address}:7443`
      await put(node.configFile, stringify({ ...config, registry: { listen: moved } }))
      process.kill(node.pid ?? 0, 'SIGHUP')
      await eventually(
        async () => (await node.ops<StatusView>('status')).registryListen.includes(moved),
        waits,
      )
      await eventually(
        async () =>
          (
            await node.fetch('/v2/').then(
              () => '',
              (error: unknown) => String(error),
            )
          ).includes('ECONNREFUSED'),
        { ...waits, what: 'the end of the old listener' },
      )
      await eventually(async () => (await textOf(hostsFile(node, 'two.test'))).includes(':7443'), waits)
      assert.equal(node.pid, pid)

      await node.stop()
      assert.equal(await textOf(hostsFile(node, 'one.test')), 'server = "https://one.test"\n')
      await assert.rejects(stat(hostsFile(node, 'two.test')))
    })
  })
})
