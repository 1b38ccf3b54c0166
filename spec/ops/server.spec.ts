import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmod, mkdir, stat, writeFile } from 'node:fs/promises'
import { connect, createServer } from 'node:net'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, it } from 'node:test'
import { StarlingError } from '../../lib/core/errors.ts'
import type { NodeView } from '../../lib/core/ops-view.ts'
import { createOpsServer, type OpsServer } from '../../lib/ops/server.ts'
import { type TempFolder, tempFolder } from '../support/temp-folder.ts'
import { fakeNodeView, testDigest } from './fake-node-view.ts'
import { ask } from './http.ts'
import { recordingLog } from './recording-log.ts'

let folder: TempFolder
let socket = ''
const servers: OpsServer[] = []

beforeEach(async () => {
  folder = await tempFolder('ops')
  socket = join(folder.path, 'run', 'ops.sock')
})

afterEach(async () => {
  for (const server of servers.splice(0)) await server.stop()
  await folder[Symbol.asyncDispose]()
})

async function start(changes: Partial<NodeView> = {}, log = recordingLog()): Promise<OpsServer> {
  const server = createOpsServer({ view: fakeNodeView(changes), socket, log })
  servers.push(server)
  await server.start()
  return server
}

const get = (path: string, method = 'GET', body?: string) =>
  ask(
    {
      socketPath: socket,
      path,
      method,
      headers: body === undefined ? {} : { 'content-length': body.length },
    },
    body,
  )

function errorIn(body: string): { code: string; message: string } {
  return (JSON.parse(body) as { error: { code: string; message: string } }).error
}

describe('the ops API', () => {
  for (const [path, part] of [
    ['/api/v1/status', '"name":"node-1"'],
    ['/api/v1/peers', '"incarnation":4'],
    ['/api/v1/registries', '"origins":3'],
    ['/api/v1/images', '"tag":"3"'],
    ['/healthz', '"healthy":true'],
    ['/readyz', '"ready":true'],
  ] as const) {
    it(`answers ${path} with JSON`, async () => {
      await start()
      const answer = await get(path)
      assert.equal(answer.status, 200)
      assert.match(String(answer.headers['content-type']), /^application\/json/)
      assert(answer.body.includes(part), answer.body)
      assert.equal((await get(path, 'HEAD')).status, 200)
    })
  }

  it('answers metrics in the text format of Prometheus', async () => {
    await start()
    const answer = await get('/api/v1/metrics')
    assert.equal(answer.headers['content-type'], 'text/plain; version=0.0.4; charset=utf-8')
    assert.match(answer.body, /^starling_members/)
  })

  for (const query of ['docker.io/library/alpine:3', testDigest, 'a/b@sha256:00', 'ü']) {
    it(`looks up ${query}, escaped as it may be`, async () => {
      await start()
      for (const written of [encodeURIComponent(query), encodeURI(query)]) {
        const answer = await get(`/api/v1/where/${written}`)
        assert.equal((JSON.parse(answer.body) as { query: string }).query, query)
      }
    })
  }

  it('says why it is not ready, with 503', async () => {
    await start({ ready: () => ({ ready: false, reasons: ['no containerd'] }) })
    const answer = await get('/readyz')
    assert.equal(answer.status, 503)
    assert.deepEqual(JSON.parse(answer.body), { ready: false, reasons: ['no containerd'] })
  })

  for (const [what, path, method, body, status, code] of [
    ['a path that is not there', '/api/v1/nothing', 'GET', undefined, 404, 'NOT_FOUND'],
    ['the root', '/', 'GET', undefined, 404, 'NOT_FOUND'],
    ['a reference that is none', '/api/v1/where/a!', 'GET', undefined, 400, 'REFERENCE_INVALID'],
    ['an empty query', '/api/v1/where/', 'GET', undefined, 400, 'USAGE'],
    ['a long query', `/api/v1/where/${'a'.repeat(3000)}`, 'GET', undefined, 400, 'USAGE'],
    ['a long URL', `/api/v1/status?${'a'.repeat(5000)}`, 'GET', undefined, 414, 'USAGE'],
    ['a broken escape', '/api/v1/where/%zz', 'GET', undefined, 400, 'USAGE'],
    ['a write', '/api/v1/status', 'POST', undefined, 405, 'USAGE'],
    ['a method of its own', '/api/v1/status', 'PURGE', undefined, 405, 'USAGE'],
    ['a body', '/api/v1/status', 'GET', 'x', 413, 'USAGE'],
    ['a long body', '/api/v1/status', 'GET', 'x'.repeat(1 << 20), 413, 'USAGE'],
  ] as const) {
    it(`refuses ${what} with ${status} and goes on`, async () => {
      await start()
      const answer = await get(path, method, body).catch((error: unknown) => error as NodeJS.ErrnoException)
      if ('status' in answer) {
        assert.equal(answer.status, status)
        assert.equal(errorIn(answer.body).code, code)
      } else assert.equal(body?.length, 1 << 20, String(answer))
      assert.equal((await get('/healthz')).status, 200)
    })
  }

  it('hides a defect from the client and logs it', async () => {
    const log = recordingLog()
    const fail = () => {
      throw new Error('secret detail')
    }
    await start({ status: fail }, log)
    const answer = await get('/api/v1/status')
    assert.equal(answer.status, 500)
    assert.equal(errorIn(answer.body).code, 'INTERNAL')
    assert(!answer.body.includes('secret'))
    assert(log.lines.some((line) => line.includes('a request to the ops API failed')))
  })

  it('survives bytes that are no HTTP', async () => {
    await start()
    const raw = connect({ path: socket })
    raw.on('error', () => {})
    raw.end(Buffer.alloc(100_000, 0xff))
    await new Promise<void>((resolve) => raw.once('close', () => resolve()))
    assert.equal((await get('/healthz')).status, 200)
  })

  it('stops although somebody holds a connection open, and may be stopped twice', async () => {
    const server = await start()
    const held = connect({ path: socket })
    held.on('error', () => {})
    await once(held, 'connect')
    await server.stop()
    await server.stop()
    await assert.rejects(get('/healthz'), { code: 'ENOENT' })
  })
})

describe('the ops socket', () => {
  it('and the folder made for it are for their owner alone', async () => {
    await start()
    assert.equal((await stat(socket)).mode & 0o777, 0o600)
    assert.equal((await stat(join(folder.path, 'run'))).mode & 0o777, 0o700)
  })

  it('leaves the rights of a folder that is there as they are', async () => {
    await mkdir(join(folder.path, 'run'))
    await chmod(join(folder.path, 'run'), 0o755)
    await start()
    assert.equal((await stat(join(folder.path, 'run'))).mode & 0o777, 0o755)
  })

  it('of a process that was killed is replaced', async () => {
    await mkdir(join(folder.path, 'run'))
    const program = `require('node:net').createServer().listen(${JSON.stringify(socket)}, () => console.log('up'))`
    const other = spawn(process.execPath, ['--eval', program], { stdio: ['ignore', 'pipe', 'inherit'] })
    await once(other.stdout, 'data')
    other.kill('SIGKILL')
    await once(other, 'exit')
    assert((await stat(socket)).isSocket())
    await start()
    assert.equal((await get('/healthz')).status, 200)
  })

  it('of a process that lives is left to it', async () => {
    await start()
    await assert.rejects(start(), (error) => {
      assert(error instanceof StarlingError && error.code === 'OPS_SOCKET_FAILED')
      return error.format().includes('is used by another process; stop the other node or set ops.socket')
    })
    assert.equal((await get('/healthz')).status, 200)
  })

  it('never takes the place of a file', async () => {
    await mkdir(join(folder.path, 'run'))
    await writeFile(socket, 'precious')
    await assert.rejects(start(), { code: 'OPS_SOCKET_FAILED', message: /is there already and is no socket/ })
    assert((await stat(socket)).isFile())
  })

  it('says what is wrong with a path that cannot be one', async () => {
    await writeFile(join(folder.path, 'run'), '')
    await assert.rejects(start(), {
      code: 'OPS_SOCKET_FAILED',
      message: /cannot be opened \(E(NOTDIR|EXIST)\)/,
    })
  })

  it('is gone after a stop, so that nobody waits for an answer', async () => {
    const server = await start()
    await server.stop()
    await assert.rejects(stat(socket), { code: 'ENOENT' })
    const again = createServer().listen(socket)
    await once(again, 'listening')
    again.close()
  })
})
