import assert from 'node:assert/strict'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { createServer, type RequestListener } from 'node:http'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { StarlingError } from '../../lib/core/errors.ts'
import { createOpsClient } from '../../lib/ops/client.ts'
import { createOpsServer, type OpsServer } from '../../lib/ops/server.ts'
import { type TempFolder, tempFolder } from '../support/temp-folder.ts'
import { fakeNodeView } from './fake-node-view.ts'
import { recordingLog } from './recording-log.ts'

let folder: TempFolder
let server: OpsServer
let count = 0
const view = fakeNodeView({ ready: () => ({ ready: false, reasons: ['waiting'] }) })

before(async () => {
  folder = await tempFolder('client')
  server = createOpsServer({ view, socket: join(folder.path, 'ops.sock'), log: recordingLog() })
  await server.start()
})

after(async () => {
  await server.stop()
  await folder[Symbol.asyncDispose]()
})

/** Runs against a server that is no Starling. */
async function against(answer: RequestListener, use: (socket: string) => Promise<void>): Promise<void> {
  const other = createServer(answer)
  const socket = join(folder.path, `other-${++count}.sock`)
  other.listen(socket)
  await once(other, 'listening')
  try {
    await use(socket)
  } finally {
    other.closeAllConnections()
    other.close()
  }
}

const lineOf = async (promise: Promise<unknown>): Promise<string> => {
  const error = await promise.then(
    () => undefined,
    (thrown: unknown) => thrown,
  )
  assert(error instanceof StarlingError && error.code === 'OPS_UNAVAILABLE', String(error))
  return error.format()
}

describe('the client of the ops API', () => {
  it('brings what the node says', async () => {
    const client = createOpsClient(join(folder.path, 'ops.sock'))
    assert.equal((await client.status()).name, 'node-1')
    assert.equal((await client.peers()).length, 2)
    assert.equal((await client.registries())[0]?.registry, 'docker.io')
    assert.equal((await client.images()).length, 2)
    assert.equal((await client.where('docker.io/a/b:c')).query, 'docker.io/a/b:c')
    assert.deepEqual(await client.ready(), { ready: false, reasons: ['waiting'] })
    assert.match(await client.metrics(), /^starling_/)
  })

  it('passes on what the node refuses, with its code', async () => {
    const client = createOpsClient(join(folder.path, 'ops.sock'))
    await assert.rejects(client.where('a!'), {
      code: 'REFERENCE_INVALID',
      message: /is not an image reference/,
    })
  })

  it('says in one line that no node runs', async () => {
    const socket = join(folder.path, 'none.sock')
    assert.equal(
      await lineOf(createOpsClient(socket).status()),
      `no node answers on ${socket}: there is no such socket; is starling agent running?`,
    )
  })

  it('says so when the path is no socket', async () => {
    const file = join(folder.path, 'file')
    await writeFile(file, '')
    assert.match(await lineOf(createOpsClient(file).status()), /(it is no socket|is gone)/)
  })

  it('says so when something else answers', async () => {
    await against(
      (_request, response) => response.end('<html>'),
      async (socket) =>
        assert.match(await lineOf(createOpsClient(socket).status()), /what answers is no Starling/),
    )
  })

  it('says so when the connection breaks in the middle of an answer', async () => {
    await against(
      (_request, response) => {
        response.writeHead(200, { 'content-length': 100 })
        response.write('{', () => response.destroy())
      },
      async (socket) => assert.match(await lineOf(createOpsClient(socket).status()), /broke the connection/),
    )
  })

  it('reads no more than 64 MiB', async () => {
    await against(
      (_request, response) => {
        const chunk = Buffer.alloc(1 << 20, 0x20)
        const more = () => {
          while (!response.destroyed && response.write(chunk));
        }
        response.on('drain', more)
        more()
      },
      async (socket) => assert.match(await lineOf(createOpsClient(socket).status()), /larger than 64 MiB/),
    )
  })
})
