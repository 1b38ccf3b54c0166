import assert from 'node:assert/strict'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import type { ContainerdFacts } from '../../../lib/app/check/containerd-config.ts'
import {
  containerdConfigFiles,
  readTemplates,
  templateFacts,
} from '../../../lib/app/check/containerd-files.ts'
import { containerdLines } from '../../../lib/app/check/containerd-verdicts.ts'
import { createLayersWatch } from '../../../lib/app/check/layers-watch.ts'
import { tempFolder } from '../../support/temp-folder.ts'

const certsDir = '/etc/containerd/certs.d'
const good: ContainerdFacts = {
  configPath: certsDir,
  transferConfigPath: undefined,
  discardedIn: undefined,
  files: ['/etc/containerd/config.toml'],
}

function verdicts(facts: Partial<ContainerdFacts>, template?: string): Record<string, string> {
  const templates = template === undefined ? [] : [templateFacts('config.toml.tmpl', template)]
  const lines = containerdLines({ ...good, ...facts }, templates, certsDir)
  return Object.fromEntries(lines.map(({ what, verdict, detail }) => [what, `${verdict}: ${detail}`]))
}

describe("what containerd's configuration means", () => {
  for (const [title, facts, what, expected] of [
    ['config_path as it should be', {}, 'config_path of CRI', /^ok: it is/],
    [
      'no config_path',
      { configPath: undefined },
      'config_path of CRI',
      /^wrong: .*set it to \/etc\/containerd\/certs\.d/,
    ],
    ['two folders', { configPath: `${certsDir}:/b` }, 'config_path of CRI', /^warning: .*two folders/],
    ['two other folders', { configPath: '/a:/b' }, 'config_path of CRI', /^wrong: it is \/a:\/b/],
    ['another folder', { configPath: '/a' }, 'config_path of CRI', /^wrong: it is \/a, .*set certsDir/],
    ['no path for transfers', {}, 'config_path of transfers', /^ok: .*need not be/],
    ['the same for transfers', { transferConfigPath: certsDir }, 'config_path of transfers', /^ok: it is/],
    [
      'another for transfers',
      { transferConfigPath: '/a' },
      'config_path of transfers',
      /^warning: .*set both alike/,
    ],
    ['layers that are kept', {}, 'unpacked layers', /^ok: they are kept/],
    [
      'layers that are thrown away',
      { discardedIn: '/etc/containerd/conf.d/1.toml' },
      'unpacked layers',
      /^wrong: discard_unpacked_layers is on in \/etc\/containerd\/conf\.d\/1\.toml:/,
    ],
  ] as const) {
    it(title, () => assert.match(verdicts(facts)[what] ?? '', expected))
  }

  for (const [title, text, expected] of [
    ['takes over the base', '{{ template "base" . }}\n[x]\n', /^ok/],
    ['has the right path', `config_path = "${certsDir}"\n`, /^ok/],
    ['lets K3s fill the path in', '  config_path = "{{ .NodeConfig.Containerd.Registry }}"\n', /^ok/],
    [
      'has another path',
      '{{ template "base" . }}\n  config_path = "/a" # mine\n',
      /^wrong: .*config_path to \/a/,
    ],
    ['has nothing', '[plugins]\n', /^wrong: .*neither takes over the base template/],
    [
      'throws layers away',
      '{{- template "base" . -}}\ndiscard_unpacked_layers = true\n',
      /^wrong: discard_unpacked/,
    ],
    ['has that in a comment only', '{{template "base" .}}\n# discard_unpacked_layers = true\n', /^ok/],
  ] as const) {
    it(`a template that ${title}`, () => assert.match(verdicts({}, text).template ?? '', expected))
  }

  it('the files of K3s and RKE2 come first where the socket is theirs', () => {
    const [first] = containerdConfigFiles('/run/containerd/containerd.sock')
    assert.equal(first, '/etc/containerd/config.toml')
    assert.match(containerdConfigFiles('/run/k3s/containerd/containerd.sock')[0] ?? '', /rancher\/k3s/)
  })

  it('both templates beside a configuration are read', async () => {
    await using folder = await tempFolder('tm')
    const config = join(folder.path, 'config.toml')
    assert.deepEqual(await readTemplates(config), [])
    for (const name of ['config.toml.tmpl', 'config-v3.toml.tmpl']) {
      await writeFile(join(folder.path, name), '{{ template "base" . }}\n')
    }
    assert.deepEqual(
      (await readTemplates(config)).map(({ usesBase }) => usesBase),
      [true, true],
    )
  })
})

describe('a running node', () => {
  it('notices that containerd throws layers away, and that it no longer does', async () => {
    await using folder = await tempFolder('lw')
    const file = join(folder.path, 'config.toml')
    const store = {
      type: 'containerd',
      socket: '/x',
      namespaces: ['k8s.io'],
      contentPath: undefined,
    } as const
    const watch = createLayersWatch(() => store, [join(folder.path, 'none.toml'), file])
    await watch.start()
    try {
      assert.equal(watch.problem(), undefined)
      await mkdir(join(folder.path, 'conf.d'))
      await writeFile(
        join(folder.path, 'conf.d', 'a.toml'),
        "[plugins.'io.containerd.cri.v1.images']\ndiscard_unpacked_layers = true\n",
      )
      await writeFile(file, 'version = 3\nimports = ["conf.d/*.toml"]\n')
      await watch.look()
      assert.match(watch.problem() ?? '', /discard_unpacked_layers is on in .*conf\.d\/a\.toml:/)
      await writeFile(file, 'version = 3\n')
      await watch.look()
      assert.equal(watch.problem(), undefined)
    } finally {
      await watch.stop()
    }
  })
})
