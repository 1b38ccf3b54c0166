import assert from 'node:assert/strict'
import { mkdir, readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { configureHosts } from '../../lib/app/config/configure.ts'
import { initTrust } from '../../lib/app/trust/init.ts'
import { parseConfig } from '../../lib/config/config-file.ts'
import { parseRegistries } from '../../lib/config/registries-file.ts'
import { startContainerd, type TestContainerd } from '../support/containerd.ts'
import { writeOciLayout } from '../support/oci-files.ts'
import { buildImage, type TestImage } from '../support/oci-image.ts'
import { type TempFolder, tempFolder } from '../support/temp-folder.ts'
import { makeTestAuthority, makeTestCluster } from '../support/test-trust.ts'
import { startUpstreamRegistry, type UpstreamRegistry } from '../support/upstream-registry.ts'
import { skipLab, wrongBlobs } from './containerd-lab.ts'

const address = `127.${10 + (process.pid % 200)}.249.1`
/** `s"cr\et`, bcrypt of the lowest cost. */
const htpasswd = 'me:$2b$05$abcdefghijklmnopqrstuu/uacJKpdG8YF.dU/mQ.5w5pa.gCG.G6\n'

/**
 * One pull for each kind of endpoint, by a real containerd from Debian's docker-registry. The mirror of this node comes first in
 * every file and does not run: each pull also shows that containerd goes on without it.
 */
describe('containerd pulls through each kind of endpoint, with the mirror of the node stopped', {
  skip: skipLab,
}, () => {
  let folder: TempFolder
  let containerd: TestContainerd
  let image: TestImage
  let certsDir = ''
  let caFile = ''
  const running: UpstreamRegistry[] = []
  let plain: UpstreamRegistry
  let guarded: UpstreamRegistry
  let secured: UpstreamRegistry

  before(async () => {
    folder = await tempFolder('kinds')
    const { path } = folder
    certsDir = join(path, 'certs.d')
    caFile = join(path, 'ca.crt')
    await mkdir(certsDir)
    await initTrust({ dir: join(path, 'trust'), nodes: [{ name: 'h', addresses: ['127.0.0.1'] }] })
    containerd = await startContainerd({ dir: join(path, 'cd'), certsDir })
    image = await buildImage({ seed: 'kinds', layers: [{ sizeBytes: 70_000 }] })
    plain = await startUpstreamRegistry({ dir: join(path, 'plain'), address, port: 5000 })
    running.push(plain)
    const layout = join(path, 'layout')
    await writeOciLayout(layout, [{ name: 'x.test/a:1', image }])
    for (const target of ['team/app:1', 'cache/hub/team/app:1']) await plain.push(layout, '1', target)
    const storageDir = join(path, 'plain', 'storage')
    const htpasswdFile = join(path, 'htpasswd')
    await writeFile(htpasswdFile, htpasswd)
    guarded = await startUpstreamRegistry({
      dir: join(path, 'guarded'),
      address,
      port: 5001,
      storageDir,
      htpasswdFile,
    })
    running.push(guarded)
    const authority = await makeTestAuthority()
    const set = (await makeTestCluster({ authority, nodes: [{ name: 'r', addresses: [address] }] })).get('r')
    const tls = { certFile: join(path, 'r.crt'), keyFile: join(path, 'r.key') }
    await writeFile(caFile, set?.serverCaPem ?? '')
    await writeFile(tls.certFile, set?.serving.certPem ?? '')
    await writeFile(tls.keyFile, set?.serving.keyPem ?? '', { mode: 0o600 })
    secured = await startUpstreamRegistry({
      dir: join(path, 'secured'),
      address,
      port: 5002,
      storageDir,
      tls,
    })
    running.push(secured)
  })
  after(async () => {
    await containerd?.kill()
    for (const registry of running) await registry[Symbol.asyncDispose]()
    await folder?.[Symbol.asyncDispose]()
  })

  async function configure(registries: string, more = ''): Promise<void> {
    const text = `trust: {dir: trust/h}\ncertsDir: certs.d\nregistry: {listen: "127.0.0.1:1"}\n${more}`
    const config = parseConfig(text, 'c.yaml', { hostname: 'h', folder: folder.path })
    await configureHosts({ config, registries: parseRegistries(registries, 'r.yaml') })
  }

  /** Pulls, checks every byte, and takes the image away again. */
  async function pulls(name: string): Promise<void> {
    await containerd.ctr('content', 'fetch', '--hosts-dir', certsDir, name)
    assert.deepEqual(await wrongBlobs(containerd, image), [])
    await containerd.ctr('images', 'rm', '--sync', name)
  }

  const hostsOf = (name: string) => readFile(join(certsDir, name, 'hosts.toml'), 'utf8')
  const pathsAt = (registry: UpstreamRegistry) =>
    registry
      .requests()
      .filter(({ status }) => status < 300)
      .map(({ path }) => path)

  it('an endpoint without anything', async () => {
    await configure(`mirrors: {made-up.test: {endpoint: ["http://${plain.host}"]}}`)
    assert.match(await hostsOf('made-up.test'), /"https:\/\/127\.0\.0\.1:1"/)
    await pulls('made-up.test/team/app:1')
  })

  it('an endpoint that holds everything below a prefix', async () => {
    plain.forget()
    await configure(
      `mirrors: {made-up.test: {endpoint: ["http://${plain.host}"], rewrite: {"^(.*)$": "cache/hub/$1"}}}`,
    )
    await pulls('made-up.test/team/app:1')
    const paths = pathsAt(plain)
    assert.ok(paths.length >= 3)
    for (const path of paths) assert.match(path, /^\/v2\/cache\/hub\/team\/app\//)
  })

  it('an endpoint that asks for a password, which is in a file that only its owner can read', async () => {
    const mirrors = `mirrors: {made-up.test: {endpoint: ["http://${guarded.host}"]}}`
    await configure(mirrors, 'disable-default-registry-endpoint: true\n')
    await assert.rejects(
      containerd.ctr('content', 'fetch', '--hosts-dir', certsDir, 'made-up.test/team/app:1'),
    )
    const auth = `{username: me, password: 's"cr\\et'}`
    await configure(`${mirrors}\nconfigs: {"${guarded.host}": {auth: ${auth}}}`)
    await pulls('made-up.test/team/app:1')
    assert.ok(pathsAt(guarded).length >= 3)
    assert.equal((await stat(join(certsDir, 'made-up.test', 'hosts.toml'))).mode & 0o777, 0o600)
    assert.equal((await stat(join(certsDir, 'made-up.test'))).mode & 0o777, 0o700)
  })

  it('an endpoint with a certificate of its own CA, which is not trusted without ca_file', async () => {
    const mirrors = `mirrors: {made-up.test: {endpoint: ["https://${secured.host}"]}}`
    await configure(mirrors, 'disable-default-registry-endpoint: true\n')
    await assert.rejects(
      containerd.ctr('content', 'fetch', '--hosts-dir', certsDir, 'made-up.test/team/app:1'),
      /x509|certificate/,
    )
    await configure(
      `${mirrors}\nconfigs: {"${secured.host}": {tls: {ca_file: ${caFile}}}}`,
      'disable-default-registry-endpoint: true\n',
    )
    await pulls('made-up.test/team/app:1')
  })

  it('the endpoints of "*", for a registry that nothing names', async () => {
    await configure(`mirrors: {"*": {endpoint: ["http://${plain.host}"]}}`)
    await pulls('nobody-named.test/team/app:1')
  })

  it('the registry itself where it is all that is left', async () => {
    await configure(`mirrors: {"${plain.host}": {endpoint: ["http://127.0.0.1:9"]}}`)
    await pulls(`${plain.host}/team/app:1`)
  })

  it('not the registry itself where the default is disabled: one clear error, and nobody asks it', async () => {
    plain.forget()
    await configure(
      `mirrors: {"${plain.host}": {endpoint: ["http://127.0.0.1:9"]}}`,
      'disable-default-registry-endpoint: true\n',
    )
    await assert.rejects(
      containerd.ctr('content', 'fetch', '--hosts-dir', certsDir, `${plain.host}/team/app:1`),
      /127\.0\.0\.1:9.*connection refused/,
    )
    assert.deepEqual(plain.requests(), [])
  })
})
