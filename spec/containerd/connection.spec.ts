import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { createContainerdStore } from '../../lib/containerd/store.ts'
import type { ContentStore } from '../../lib/core/content-store.ts'
import { containerdAvailable, startContainerd, type TestContainerd } from '../support/containerd.ts'
import { eventually } from '../support/eventually.ts'
import { writeOciArchive } from '../support/oci-files.ts'
import { buildImage } from '../support/oci-image.ts'
import { quietPorts, Recording } from '../support/store-testing.ts'

/** Listens on a socket and treats each connection in this way. */
async function listen(socket: string, treat: (connection: Socket) => void): Promise<() => Promise<void>> {
  const connections = new Set<Socket>()
  const server: Server = createServer((connection) => {
    connections.add(connection)
    connection.on('error', () => {})
    treat(connection)
  })
  await new Promise<void>((resolve) => server.listen(socket, resolve))
  return () => {
    for (const connection of connections) connection.destroy()
    return new Promise((resolve) => server.close(() => resolve()))
  }
}

describe('what keeps a store from its containerd is named in one line', () => {
  let dir: string
  let ports: ReturnType<typeof quietPorts>
  let store: ContentStore | undefined

  before(async () => {
    dir = await mkdtemp(join(tmpdir(), 'starling-conn-'))
  })
  after(() => rm(dir, { recursive: true }))

  /** The problem that a store on this socket states, once it matches; also checks that it is logged once. */
  const problemOf = async (socket: string, expected: RegExp): Promise<void> => {
    ports = quietPorts()
    const timing = { firstRetryMs: 10, maxRetryMs: 40 }
    store = createContainerdStore({ socket, namespaces: ['k8s.io'], timing, ...ports })
    try {
      await store.start(() => assert.fail('nothing must be told'))
      const problem = await eventually(() => store?.status().problem)
      assert.match(problem, expected)
      assert.doesNotMatch(problem, /\n/)
      await eventually(() => (ports.counts.get('starling_store_disconnects_total') ?? 0) >= 3)
      assert.equal(store.status().state, 'waiting')
      const warnings = ports.lines.filter((line) => line.level === 'warn')
      assert.equal(warnings.length, 1, JSON.stringify(warnings))
    } finally {
      await store.stop()
    }
  }

  it('a socket that does not exist', () =>
    problemOf(join(dir, 'absent.sock'), /absent\.sock does not exist; is containerd running\?/))

  it('a folder that does not exist', () =>
    problemOf(join(dir, 'no', 'c.sock'), /does not exist; is containerd running\?/))

  it('a file that is not a socket', async () => {
    await writeFile(join(dir, 'file'), 'x')
    await problemOf(join(dir, 'file'), /is not a socket/)
  })

  it('a socket on which nobody listens', async () => {
    const socket = join(dir, 'stale.sock')
    const script = `require('net').createServer().listen(${JSON.stringify(socket)}, () => process.kill(process.pid, 'SIGKILL'))`
    assert.throws(() => execFileSync(process.execPath, ['-e', script], { stdio: 'ignore' }))
    await problemOf(socket, /nothing listens on .*stale\.sock; is containerd running\?/)
  })

  it('a server that hangs up', async () => {
    const socket = join(dir, 'hangup.sock')
    const close = await listen(socket, (connection) => connection.end())
    await problemOf(socket, /does not answer like a containerd/).finally(close)
  })

  it('a server that speaks something else', async () => {
    const socket = join(dir, 'http.sock')
    const close = await listen(socket, (connection) => connection.write('HTTP/1.1 400 Bad Request\r\n\r\n'))
    await problemOf(socket, /does not answer like a containerd/).finally(close)
  })

  it('a store is stopped at once while it waits', async () => {
    store = createContainerdStore({
      socket: join(dir, 'never.sock'),
      namespaces: ['k8s.io'],
      ...quietPorts(),
    })
    await store.start(() => {})
    await eventually(() => store?.status().problem)
    await store.stop()
    assert.equal(store.status().state, 'stopped')
  })

  it('a malformed namespace is refused', () => {
    for (const namespace of ['', 'a b', '../x', 'k8s.io"', 'a'.repeat(77)]) {
      assert.throws(() => createContainerdStore({ socket: '/x', namespaces: [namespace], ...quietPorts() }), {
        code: 'CONFIG_INVALID',
      })
    }
  })
})

describe('a real containerd that comes and goes', { skip: containerdAvailable() ?? false }, () => {
  let dir: string
  let containerd: TestContainerd

  before(async () => {
    dir = await mkdtemp(join(tmpdir(), 'starling-cd-'))
    containerd = await startContainerd({ dir })
    const image = await buildImage({ seed: 'x', layers: [{ sizeBytes: 100 }] })
    await writeOciArchive(join(dir, 'x.tar'), [{ name: 'registry.test/x:1', image }])
    await containerd.ctr('images', 'import', '--no-unpack', join(dir, 'x.tar'))
  })
  after(async () => {
    await containerd.stop()
    await rm(dir, { recursive: true })
  })

  const storeOn = (): { store: ContentStore; ports: ReturnType<typeof quietPorts> } => {
    const ports = quietPorts()
    return {
      store: createContainerdStore({ socket: containerd.socket, namespaces: ['k8s.io'], ...ports }),
      ports,
    }
  }

  it('is found when it starts after the store', async () => {
    await containerd.stop()
    await rm(containerd.socket, { force: true })
    const { store } = storeOn()
    const told: Recording = new Recording()
    await store.start((change) => told.hear(change))
    try {
      await eventually(() => /does not exist/.test(store.status().problem ?? ''))
      assert.equal(told.changes.length, 0)
      await containerd.restart()
      await eventually(() => told.target('registry.test/x:1'))
      assert.equal(store.status().state, 'connected')
      assert.match(store.status().version ?? '', /^v?\d+\.\d+/)
    } finally {
      await store.stop()
    }
  })

  it('that is killed and loses an image meanwhile tells the difference in a snapshot, with two lines in the log', async () => {
    const { store, ports } = storeOn()
    const told = await Recording.of(store)
    try {
      const image = await buildImage({ seed: 'y', layers: [{ sizeBytes: 100 }] })
      await writeOciArchive(join(dir, 'y.tar'), [{ name: 'registry.test/y:1', image }])
      await containerd.ctr('images', 'import', '--no-unpack', join(dir, 'y.tar'))
      await told.holds('registry.test/y:1', image)
      await containerd.kill()
      await eventually(() => store.status().state === 'waiting')
      assert.equal(told.target('registry.test/y:1'), image.root.digest, 'its files are still there')
      const reader = store.reader()
      const handle = await reader.open(image.root.digest)
      assert.equal(handle?.sizeBytes, image.root.size, 'and can be read while containerd is down')
      told.changes.length = 0
      const restarted = containerd.restart()
      await restarted
      await containerd.ctr('images', 'rm', '--sync', 'registry.test/y:1')
      await eventually(() => told.target('registry.test/y:1') === undefined)
      await eventually(() => !told.view.blobs.has(image.root.digest))
      assert.equal(told.changes[0]?.type, 'snapshot')
      const connected = ports.lines.filter((line) => line.message === 'containerd is connected')
      assert.equal(connected.length, 2)
    } finally {
      await store.stop()
    }
  })

  it('that is stopped like a wedged process does not keep the store from stopping', async () => {
    const { store } = storeOn()
    await Recording.of(store)
    const pid = containerd.pid()
    assert.ok(pid)
    process.kill(pid, 'SIGSTOP')
    try {
      void store.audit()
      await store.stop()
      assert.equal(store.status().state, 'stopped')
    } finally {
      process.kill(pid, 'SIGCONT')
    }
  })

  it('that is wedged is reported, and used again when it goes on', async () => {
    const timing = { healthIntervalMs: 30, callTimeoutMs: 300 }
    const socket = containerd.socket
    const store = createContainerdStore({ socket, namespaces: ['k8s.io'], timing, ...quietPorts() })
    await Recording.of(store)
    const pid = containerd.pid()
    assert.ok(pid)
    try {
      process.kill(pid, 'SIGSTOP')
      await eventually(() => /DEADLINE_EXCEEDED/.test(store.status().problem ?? ''))
      process.kill(pid, 'SIGCONT')
      await eventually(() => store.status().state === 'connected')
    } finally {
      process.kill(pid, 'SIGCONT')
      await store.stop()
    }
  })

  it('an audit of a store that is not connected returns', async () => {
    const store = createContainerdStore({
      socket: join(dir, 'no.sock'),
      namespaces: ['k8s.io'],
      ...quietPorts(),
    })
    await store.audit()
    await store.start(() => {})
    await store.audit()
    await store.stop()
  })

  it('whose socket is closed to this user is reported, and is connected when it opens', async () => {
    await chmod(dir, 0o755)
    const script = join(import.meta.dirname, 'unprivileged-store.ts')
    await chmod(containerd.socket, 0o600)
    const child = spawn(process.execPath, [script, containerd.socket, containerd.contentPath], {
      uid: 65534,
      gid: 65534,
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    let output = ''
    child.stdout.on('data', (data: Buffer) => {
      output += data.toString()
    })
    const gone = new Promise((resolve) => child.once('exit', resolve))
    try {
      await eventually(() => /permission denied on .*containerd\.sock; run as root/.test(output))
      await chmod(containerd.socket, 0o666)
      await eventually(() => /connected/.test(output))
      assert.match(output, /the content folder cannot be read; blobs are read over gRPC/)
      await eventually(() => /read \d+ bytes of registry\.test\/x:1 over gRPC, digest right/.test(output))
    } finally {
      child.kill()
      await gone
    }
  })
})
