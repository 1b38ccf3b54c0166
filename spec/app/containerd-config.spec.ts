import assert from 'node:assert/strict'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { readContainerdConfig } from '../../lib/app/check/containerd-config.ts'
import { tempFolder } from '../support/temp-folder.ts'

describe("containerd's configuration", () => {
  for (const [version, section, discard] of [
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
      await writeFile(join(folder.path, 'conf.d', '1.toml'), `${discard}\ndiscard_unpacked_layers = true\n`)
      const facts = await readContainerdConfig(file)
      assert.deepEqual([facts.configPath, facts.discardsLayers, facts.files.length], ['/a', true, 2])
    })
  }

  it('that is no TOML is named', async () => {
    await using folder = await tempFolder('cri')
    const file = join(folder.path, 'config.toml')
    await writeFile(file, '{{ template "base" . }}\n')
    await assert.rejects(readContainerdConfig(file), /config\.toml: /)
  })
})
