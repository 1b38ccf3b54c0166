import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { advertisedEndpoints, resolveBootstrap } from '../../lib/app/addresses.ts'
import { recordingLog } from '../support/fake-cluster.ts'

describe('addresses', () => {
  it('advertises what is configured before what it listens on', () => {
    const configured = [{ host: '192.0.2.1', port: 7 }]
    assert.deepEqual(advertisedEndpoints([{ host: '0.0.0.0', port: 5001 }], configured), configured)
  })

  it('advertises a specific listening address as it is', () => {
    const listen = [{ host: '127.0.0.9', port: 5001 }]
    assert.deepEqual(advertisedEndpoints(listen, []), listen)
  })

  it('replaces a wildcard by addresses that are none', () => {
    const found = advertisedEndpoints([{ host: '0.0.0.0', port: 5001 }], [])
    assert.ok(found.length > 0)
    for (const { host, port } of found) assert.ok(host !== '0.0.0.0' && port === 5001)
  })

  it('resolves names with all their addresses, keeps addresses, and leaves itself out', async () => {
    const found = await resolveBootstrap(
      [
        { host: 'localhost', port: 1 },
        { host: '192.0.2.7', port: 2 },
        { host: '192.0.2.8', port: 3 },
      ],
      [{ host: '192.0.2.8', port: 3 }],
      recordingLog(),
    )
    assert.ok(found.some((endpoint) => ['127.0.0.1', '::1'].includes(endpoint.host) && endpoint.port === 1))
    assert.ok(found.some((endpoint) => endpoint.host === '192.0.2.7'))
    assert.ok(!found.some((endpoint) => endpoint.host === '192.0.2.8'))
  })

  it('logs a name that does not resolve and goes on with the others', async () => {
    const log = recordingLog()
    const list = [
      { host: 'no-such-host.invalid', port: 1 },
      { host: '192.0.2.7', port: 2 },
    ]
    assert.equal((await resolveBootstrap(list, [], log)).length, 1)
    assert.equal(log.lines.filter((line) => line.level === 'warn').length, 1)
  })
})
