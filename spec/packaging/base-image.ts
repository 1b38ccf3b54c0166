import { globSync } from 'node:fs'
import { copyFile, cp, mkdir, readFile, realpath, symlink, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { rootCertificates } from 'node:tls'
import { librariesOf } from '../support/program-files.ts'
import { projectDir } from '../support/project.ts'
import { findProgram } from '../support/requirements.ts'

async function copyInto(root: string, file: string, as = file): Promise<void> {
  await mkdir(dirname(join(root, as)), { recursive: true })
  await copyFile(file, join(root, as))
}

/** Folder of the npm that the command `npm` leads to. */
async function npmFolder(): Promise<string> {
  const command = findProgram('npm')
  if (command === undefined) throw new Error('this machine has no npm')
  return dirname(dirname(await realpath(command)))
}

/** Networks with a proxy of their own have certificate authorities of their own. */
async function trustedAuthorities(): Promise<Buffer> {
  const file = process.env.NODE_EXTRA_CA_CERTS ?? '/etc/ssl/certs/ca-certificates.crt'
  return readFile(file).catch(() => Buffer.from(rootCertificates.join('\n')))
}

function npmSettings(): string {
  const proxy = process.env.HTTPS_PROXY ?? process.env.https_proxy
  const lines = ['cafile=/etc/ssl/certs/ca-certificates.crt', 'update-notifier=false']
  return [...lines, ...(proxy === undefined ? [] : [`https-proxy=${proxy}`]), ''].join('\n')
}

/**
 * A small root file system from this machine's own files, for where no container registry can be reached: Node 26 (the
 * one that runs this), npm, a shell and the little that both need.
 */
export async function makeRootFolder(root: string): Promise<void> {
  const programs = ['sh', 'env', 'mkdir', 'ls', 'cat', 'id'].map((name) => {
    const path = findProgram(name)
    if (path === undefined) throw new Error(`this machine has no ${name}`)
    return { path, as: `/usr/bin/${name}` }
  })
  programs.push({ path: process.execPath, as: '/usr/local/bin/node' })
  for (const { path, as } of programs) {
    await copyInto(root, path, as)
  }
  // The bundler comes with `npm ci`; what it is linked against comes with every distribution.
  const bundler = globSync('node_modules/@rolldown/binding-*/*.node', { cwd: projectDir })
  const linked = [...programs.map(({ path }) => path), ...bundler.map((path) => join(projectDir, path))]
  for (const file of linked) for (const library of await librariesOf(file)) await copyInto(root, library)
  for (const folder of ['tmp', 'run', 'var', 'root']) await mkdir(join(root, folder), { recursive: true })
  await symlink('usr/bin', join(root, 'bin'))
  await cp(await npmFolder(), join(root, 'usr/local/lib/node_modules/npm'), {
    recursive: true,
    dereference: true,
  })
  await symlink('../lib/node_modules/npm/bin/npm-cli.js', join(root, 'usr/local/bin/npm'))
  await mkdir(join(root, 'etc/ssl/certs'), { recursive: true })
  await writeFile(join(root, 'etc/passwd'), 'root:x:0:0:root:/root:/bin/sh\n')
  await writeFile(join(root, 'etc/group'), 'root:x:0:\n')
  await writeFile(join(root, 'etc/ssl/certs/ca-certificates.crt'), await trustedAuthorities())
  await mkdir(join(root, 'usr/local/etc'), { recursive: true })
  await writeFile(join(root, 'usr/local/etc/npmrc'), npmSettings())
}
