import assert from 'node:assert/strict'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { readContainerdConfig } from '../../lib/app/check/containerd-config.ts'
import { tempFolder } from '../support/temp-folder.ts'

describe("containerd's configuration", () => {
  for (const [version, section, discard] of [
    [1, '[plugins.cri.registry]', '[plugins.cri.containerd]'],
    [2, `[plugins."io.containerd.grpc.v1.cri".registry]`, `[plugins."io.containerd.grpc.v1.cri".containerd]`],
    [3, `[plugins.'io.containerd.cri.v1.images'.registry]`, `[plugins.'io.containerd.cri.v1.images']`],
    [4, `[plugins.'io.containerd.cri.v1.images'.registry]`, `[plugins.'io.containerd.cri.v1.images']`],
  ] as const) {
    it(`is read in version ${version}, with what its drop-ins say`, async () => {
      await using folder = await tempFolder('cri')
      const file = join(folder.path, 'config.toml')
      await mkdir(join(folder.path, 'conf.d'))
      await writeFile(
        file,
        `version = ${version}\nimports = ["conf.d/*.toml"]\n${section}\nconfig_path = "/a"\n`,
      )
      const dropIn = join(folder.path, 'conf.d', '1.toml')
      await writeFile(dropIn, `${discard}\ndiscard_unpacked_layers = true\n`)
      const facts = await readContainerdConfig(file)
      assert.deepEqual([facts.configPath, facts.discardedIn, facts.files.length], ['/a', dropIn, 2])
      await writeFile(join(folder.path, 'conf.d', '2.toml'), `${discard}\ndiscard_unpacked_layers = false\n`)
      assert.equal((await readContainerdConfig(file)).discardedIn, undefined)
    })
  }

  it('that is no TOML, or not there, is named in one line', async () => {
    await using folder = await tempFolder('cri')
    const file = join(folder.path, 'config.toml')
    await assert.rejects(readContainerdConfig(file), /config\.toml cannot be read \(ENOENT\); [^\n]*$/)
    await writeFile(file, 'version = 2\n{{ template "base" . }}\n')
    await assert.rejects(readContainerdConfig(file), /config\.toml:2:\d+: this is no TOML \([^\n]*$/)
  })
})
