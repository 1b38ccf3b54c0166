import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, it } from 'node:test'

describe('the reader in a worker', () => {
  it('loads gRPC only when the folder cannot be read', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'starling-reader-'))
    const bytes = Buffer.from('a blob')
    const digest = createHash('sha256').update(bytes).digest('hex')
    await mkdir(join(folder, 'blobs', 'sha256'), { recursive: true })
    await writeFile(join(folder, 'blobs', 'sha256', digest), bytes)
    const module = new URL('../../lib/containerd/blob-reader.ts', import.meta.url).href
    const script = `
      import { registerHooks } from 'node:module'
      const loaded = []
      registerHooks({ resolve(name, context, next) { loaded.push(name); return next(name, context) } })
      const { createContainerdReader } = await import(${JSON.stringify(module)})
      const grpc = () => loaded.some((name) => name.startsWith('@grpc/'))
      const source = { kind: 'containerd', socket: '/nowhere.sock', namespaces: ['k8s.io'] }
      const open = async (contentPath) => {
        const reader = createContainerdReader({ ...source, contentPath })
        const outcome = await reader.open('sha256:${digest}').then((handle) => handle.sizeBytes, (error) => error.code)
        await reader.close()
        return [outcome, grpc()]
      }
      const local = await open(${JSON.stringify(folder)})
      const remote = await open(${JSON.stringify(join(folder, 'absent'))})
      console.log(JSON.stringify({ local, remote }))`
    const output = execFileSync(process.execPath, ['--input-type=module', '-e', script], { encoding: 'utf8' })
    assert.deepEqual(JSON.parse(output), {
      local: [bytes.length, false],
      remote: ['STORE_UNAVAILABLE', true],
    })
    await rm(folder, { recursive: true })
  })
})
