import assert from 'node:assert/strict'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { createJoinedNodes } from '../support/cluster/joined-nodes.ts'
import { runToEnd } from '../support/processes.ts'
import { starlingBin } from '../support/project.ts'
import { findProgram } from '../support/requirements.ts'

const kubectl = findProgram('kubectl')

describe('the metrics of a server', { skip: kubectl === undefined && 'kubectl is not installed' }, () => {
  it('are read by kubectl with a kubeconfig of ours, under the names that dashboards know', async () => {
    await using nodes = await createJoinedNodes()
    const server = await nodes.add('server-1', {
      role: 'server',
      config: { 'embedded-registry': true, 'supervisor-metrics': true },
    })
    await server.start()
    const url = `https://${server.address}:9345`
    const file = join(server.dir, 'kubeconfig')
    const made = await runToEnd(
      process.execPath,
      [starlingBin, 'kubeconfig', '--config', server.configFile, '--server', url, '--file', file],
      { timeoutMs: 30_000 },
    )
    assert.equal(made.code, 0, made.stderr)
    const env = { ...process.env, KUBECONFIG: file, HOME: server.dir }
    const get = (path: string) =>
      runToEnd(kubectl!, ['get', '--server', url, '--raw', path], { env, timeoutMs: 30_000 })
    const metrics = await get('/metrics')
    assert.equal(metrics.code, 0, metrics.stderr)
    for (const line of [
      /^spegel_advertised_image_tags\{registry="registry\.test"\} 0$/m,
      /^# TYPE spegel_mirror_requests_total counter$/m,
      /^# TYPE spegel_resolve_duration_seconds histogram$/m,
      /^process_resident_memory_bytes \d+/m,
      /^starling_supervisor_requests_total/m,
    ]) {
      assert.match(metrics.stdout, line)
    }
    const elsewhere = await get('/secrets')
    assert.notEqual(elsewhere.code, 0)
  })
})
