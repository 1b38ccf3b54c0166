import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { parse as parseYaml } from 'yaml'
import { createOpsServer, type OpsServer } from '../../lib/ops/server.ts'
import { fakeNodeView, testDigest } from '../ops/fake-node-view.ts'
import { recordingLog } from '../ops/recording-log.ts'
import { type TempFolder, tempFolder } from '../support/temp-folder.ts'
import { runCli } from './run-cli.ts'

let folder: TempFolder
let socket = ''
let server: OpsServer
const view = fakeNodeView()

before(async () => {
  folder = await tempFolder('cli')
  socket = join(folder.path, 'ops.sock')
  server = createOpsServer({ view, socket, log: recordingLog() })
  await server.start()
})

after(async () => {
  await server.stop()
  await folder[Symbol.asyncDispose]()
})

describe('the commands that ask a node', () => {
  for (const [args, expected] of [
    [
      ['status'],
      /^node: +node-1 in zone rack-7 \(agent\)$[\s\S]*^running: +1d 2h, since 2026[\s\S]*^REGISTRY +NODES/m,
    ],
    [
      ['peers'],
      /^NAME +STATE +SINCE +INCARNATION[\s\S]*^node-1\* +alive [\s\S]*docker\.io,quay\.io[\s\S]*1\.3ms/m,
    ],
    [
      ['images'],
      /^REFERENCE +DIGEST[\s\S]*^docker\.io\/library\/alpine:3 +sha256:abababababab +yes +2 +2 +node-1,node-2$/m,
    ],
    [
      ['where', 'docker.io/a/b:c'],
      /^verdict: +would come from node-2 \(1 of 1 holders\)$[\s\S]*^node-2 +alive/m,
    ],
  ] as const) {
    it(`starling ${args.join(' ')} prints a table that people can read`, async () => {
      const run = await runCli(...args, '--socket', socket)
      assert.deepEqual([run.code, run.stderr], [0, ''])
      assert.match(run.stdout, expected)
      assert(!/[^\P{Cc}\n]/u.test(run.stdout), 'control characters of a peer reach the terminal')
    })
  }

  for (const [args, expected] of [
    [['status'], view.status()],
    [['images'], view.images()],
    [['where', testDigest], view.where(testDigest)],
  ] as const) {
    it(`starling ${args[0]} prints the same as JSON and YAML`, async () => {
      const json = await runCli(...args, '--socket', socket, '--output', 'json')
      const yaml = await runCli(...args, '--socket', socket, '--output', 'yaml')
      const wanted = JSON.parse(JSON.stringify(expected))
      assert.deepEqual(JSON.parse(json.stdout), wanted)
      assert.deepEqual(parseYaml(yaml.stdout), wanted)
    })
  }

  it('starling images --replicas-below counts the nodes that have all of an image', async () => {
    const references = async (below: string) => {
      const run = await runCli('images', '--socket', socket, '--replicas-below', below, '--output', 'json')
      return JSON.parse(run.stdout).map((image: { reference: string }) => image.reference)
    }
    assert.deepEqual(await references('2'), ['docker.io/library/busybox:1'])
    assert.deepEqual(await references('1'), [])
    const wrong = await runCli('images', '--socket', socket, '--replicas-below', 'two')
    assert.equal(wrong.code, 2)
    assert.match(wrong.stderr, /whole number from 1/)
  })

  it('starling drain-check ends with 1 where something would be lost, and says what', async () => {
    const run = await runCli('drain-check', 'node-2', '--socket', socket)
    assert.equal(run.code, 1)
    assert.match(
      run.stdout,
      /^verdict: +1 digest and 1 image[\s\S]*^images: +docker\.io\/library\/alpine:3$/m,
    )
    const unknown = await runCli('drain-check', 'node-9', '--socket', socket)
    assert.deepEqual([unknown.code, unknown.stdout], [1, ''])
    assert.match(unknown.stderr, /no member is called node-9/)
  })

  it('find the socket in the configuration', async () => {
    const config = join(folder.path, 'node.yaml')
    await writeFile(config, 'ops: {socket: ops.sock}\n')
    const run = await runCli('images', '--local', '--config', config)
    assert.equal(run.code, 0, run.stderr)
    assert.equal(run.stdout.split('\n').length, 3)
  })

  it('end with one line and code 3 where no node runs', async () => {
    for (const args of [['status'], ['peers'], ['images'], ['where', 'x']]) {
      const run = await runCli(...args, '--socket', '/nonexistent/ops.sock')
      assert.deepEqual([run.code, run.stdout], [3, ''])
      assert.equal(
        run.stderr,
        'starling: no node answers on /nonexistent/ops.sock: there is no such socket; is starling agent running?\n',
      )
    }
  })

  it('end with one line and code 2 for a reference that is none', async () => {
    const run = await runCli('where', 'a!', '--socket', socket)
    assert.deepEqual([run.code, run.stdout], [2, ''])
    assert.equal(run.stderr, 'starling: "a!" is not an image reference; look again\n')
  })
})
