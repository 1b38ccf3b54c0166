import assert from 'node:assert/strict'
import { readFile, stat, writeFile } from 'node:fs/promises'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import type { TLSSocket } from 'node:tls'
import { runToEnd } from '../support/processes.ts'
import { findProgram } from '../support/requirements.ts'
import { tempFolder } from '../support/temp-folder.ts'
import { runCli } from './run-cli.ts'

const kubectl = findProgram('kubectl')

describe('starling kubeconfig', () => {
  it('refuses a server that is no URL', async () => {
    for (const server of [
      'node-1:9345',
      'http://node-1:9345',
      'https://user@node-1',
      'https://node-1/metrics',
    ]) {
      const run = await runCli('kubeconfig', '--server', server)
      assert.equal(run.code, 2, server)
      assert.match(run.stderr, /is no URL of a server; for example/)
    }
  })

  it('writes a file for its owner alone, with which kubectl reads metrics as this node', {
    skip: kubectl === undefined && 'kubectl is not installed',
  }, async () => {
    await using folder = await tempFolder('kubeconfig')
    const config = join(folder.path, 'node.yaml')
    await writeFile(config, 'node: {name: node-1}\ntrust: {dir: trust/node-1}\n')
    const trust = join(folder.path, 'trust')
    assert.equal((await runCli('trust', 'init', '--dir', trust, '--node', 'node-1=127.0.0.1')).code, 0)
    const read = (name: string) => readFile(join(trust, 'node-1', name), 'utf8')
    let client = ''
    const server = createServer(
      {
        cert: await read('serving.crt'),
        key: await read('serving.key'),
        ca: await read('client-ca.crt'),
        requestCert: true,
        rejectUnauthorized: true,
      },
      (request, response) => {
        client = String((request.socket as TLSSocket).getPeerCertificate().subject.CN)
        response.end(request.url === '/metrics' ? 'spegel_mirror_requests_total 3\n' : '')
      },
    )
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    try {
      const url = `https://127.0.0.1:${(server.address() as AddressInfo).port}`
      const file = join(folder.path, 'kubeconfig')
      const made = await runCli('kubeconfig', '--config', config, '--server', url, '--file', file)
      assert.deepEqual([made.code, made.stderr], [0, ''])
      assert.equal((await stat(file)).mode & 0o777, 0o600)
      const env = { ...process.env, KUBECONFIG: file, HOME: folder.path }
      const got = await runToEnd(kubectl!, ['get', '--server', url, '--raw', '/metrics'], {
        env,
        timeoutMs: 30_000,
      })
      assert.deepEqual([got.code, got.stdout], [0, 'spegel_mirror_requests_total 3\n'], got.stderr)
      assert.equal(client, 'node-1')
    } finally {
      server.close()
    }
  })
})
